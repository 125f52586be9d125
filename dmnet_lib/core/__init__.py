"""What flows and what everything stands on: tables, boxes, files, parameters, provenance.

In: plain values, paths and arrays. Out: frozen tables, checked parameters, files written whole.
May know: no other room.
"""
