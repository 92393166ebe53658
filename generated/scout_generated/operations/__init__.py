"""Makers of requests, by the name of the operation."""
