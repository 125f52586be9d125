"""Tables, images and finished runs -> figures, explorers in JupyterLab and HTML pages.

In: what the rooms below give, and result folders. Out: figures, widgets, pages that open offline.
May know: every room but running.
"""
