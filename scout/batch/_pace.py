"""`Pace`: how many rows of a batch may be under way, and when the next one may be sent. Decides, and does not sleep.

- A 429 pauses all rows for as long as the server asks, because the limit is one for all of them.
- It also lowers the number of rows under way by a fifth, once for all that were refused together. Each answer raises it
  a little, by one row for as many answers as there are rows under way (additive increase, multiplicative decrease, as
  TCP controls its windows). Halving would be too much, because the pause has taken the load away already.
- From then on the requests are spread over the time that an answer takes. Servers that allow but few requests at once
  would refuse most of those that come together, and each refusal costs a pause.
- `rate` keeps the requests apart.
"""

from __future__ import annotations

import math
import random

from scout._retry import after_refusal

__all__ = ["Pace"]

_DECREASE = 0.8
_LONGEST_JITTER = 0.02  # seconds; it keeps several batches apart, each of which comes back as one
_EAGER = 1.1  # by which rows are sent faster than they end, so that as many as may be are under way
_WEIGHT = 0.1  # of the latest answer in the mean of their seconds
_SHORTEST = 1e-6  # seconds of an answer, of which there is a logarithm
_LATE = 0.005  # seconds; a row that was late by so little does not delay those after it
_AHEAD = 0.05  # seconds; rows whose turn comes so soon are taken together


class Pace:
    """The pace of one batch. Moments are on the monotonic clock, in seconds.

    Args:
        most: The number of rows under way at most.
        rate: The number of requests per second at most; `None` for no limit.
        patience: The seconds to which the pauses after a 429 may add up while no request is accepted; `None` for no
            limit.
    """

    def __init__(self, most: int, rate: float | None, patience: float | None) -> None:
        self._most = most
        self._limit = float(most)
        self._apart = 0.0 if rate is None else 1 / rate
        self._patience = math.inf if patience is None else patience
        self._next = -math.inf  # when the next request may be sent, for `rate`
        self._turn = -math.inf  # when the next request may be sent, so that they are spread over a round
        self._mean: float | None = None  # the logarithm of the seconds of an answer; few slow ones hardly change it
        self._resumes = -math.inf  # when the pause ends
        self._cut = -math.inf  # when the limit was lowered
        self._waits = 0.0  # the pauses since the last request that was accepted
        self._refusals = 0

    @property
    def limit(self) -> int:
        """The number of rows that may be under way now."""
        return max(1, int(self._limit))

    def allowance(self, under_way: int, now: float) -> int:
        """Return how many rows may be taken now: they fit in, and their turn has come or comes soon."""
        room = self.limit - under_way
        if room <= 0 or now < self._resumes:
            return 0
        for apart, moment in ((self._apart, self._next), (self._spread, self._turn)):
            if apart:
                room = min(room, 1 + int(max(0.0, _AHEAD - max(0.0, moment - now)) / apart))
        return room

    @property
    def _spread(self) -> float:
        """The seconds between two requests with which those of a round do not come at once; 0 before a refusal."""
        if self._cut == -math.inf or self._mean is None:
            return 0.0
        return math.exp(self._mean) / self._limit / _EAGER

    def wait(self, now: float) -> float:
        """Return the seconds until a request may be sent; 0 for now."""
        return max(0.0, self._resumes - now, self._next - now, self._turn - now)

    def sent(self, now: float) -> None:
        """Note that a request is sent."""
        if self._apart:
            self._next = max(self._next, now - _AHEAD) + self._apart
        if self._cut > -math.inf:
            self._turn = max(self._turn, now - _LATE) + self._spread

    def accepted(self, seconds: float = 0.0) -> None:
        """Note an answer that came after so many seconds, whatever it is, but no 429."""
        latest = math.log(max(seconds, _SHORTEST))
        self._mean = latest if self._mean is None else self._mean + (latest - self._mean) * _WEIGHT
        self._waits, self._refusals = 0.0, 0
        if self._limit < self._most:
            self._limit = min(self._most, self._limit + 1 / self._limit)

    def refused(self, sent: float, asked: float | None, now: float) -> bool:
        """Note a 429, and return True when the batch should go on after a pause; else it has waited long enough.

        Args:
            sent: When the request was sent.
            asked: The seconds that the server asks to wait; `None` when it asks for none.
            now: This moment.
        """
        is_first = sent >= self._cut  # of those that were refused together
        if is_first:
            self._refusals += 1
            self._limit, self._cut = max(1.0, self._limit * _DECREASE), now
        elif not asked:
            return True  # the pause after the first one is for all of them
        pause = asked + random.uniform(0, _LONGEST_JITTER) if asked else after_refusal(None, self._refusals)
        before = max(self._resumes, now)
        self._resumes = max(self._resumes, now + pause)
        self._waits += self._resumes - before
        return self._waits <= self._patience
