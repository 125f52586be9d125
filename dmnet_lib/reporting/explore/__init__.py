"""Explorers: a split and what a notebook made of it -> controls, a picture and counters."""
