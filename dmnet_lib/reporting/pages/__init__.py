"""Executed notebooks and result folders in, self-contained HTML pages out.

A page opens offline: pictures are data URIs, links are anchors, styles are inline. Only the list
of experiments has a script, which sorts and filters. Rendering twice gives the same bytes.
"""
