"""Stand-in."""


class Journal: ...


class Past: ...
