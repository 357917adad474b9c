"""Containers: packet and frame tables, codec headers, seek plans."""
