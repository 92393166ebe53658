"""Stand-in."""


def rows_of(rows):
    return iter(rows) if hasattr(rows, "__iter__") else rows


def total_of(rows):
    return len(rows) if hasattr(rows, "__len__") else None
