"""HTTP/1.1 to one origin over kept connections: a client of our own, since aiohttp's costs more and promises less.

pool          ConnectionPool: a bounded pool of kept connections to one origin, each of them
connection    HTTP/1.1 as it comes from the socket, for one
exchange      request and its answer, waited for by one reader
request       where a request goes, and its head
proxy         a forward proxy on the way
limits        time-outs, limits, and the name of each failure

Measured in November 2026 with aiohttp 3.14.5 in place of `ConnectionPool` in the whole proxy (shipped pack, recorded to
SQLite, one core; nginx as upstream, wrk as client; Python 3.11, uvloop 0.23). Runs of both took turns; the machine had
other work, so what counts is the median of the paired ratios (and their quartiles):

- processor time of the whole proxy: 1.23 for a whole answer at 32 clients (1.17 .. 1.42, 14 pairs), 1.29 at one client
  (1.22 .. 1.42, 8 pairs), 1.13 for a stream of 24 events that come at once (1.05 .. 1.21, 10 pairs), 1.23 for an event
  of 30 slow streams (1.07 .. 1.32, 6 pairs), 1.00 for one stream with an event a millisecond (0.93 .. 1.05, 6 pairs);
- requests a second at 32 clients: 0.78 (0.65 .. 0.91); what one client waits longer than without a proxy: 1.24
  (1.01 .. 1.45) at the median, 1.23 (1.10 .. 1.60) at the 99th percentile; to the first token: 1.6, too noisy to count;
- memory: 4 % more; and eight more packages, 0.3 s more at start.

The tests of this room, run against it, also name what it lacks: a POST on a kept connection that the server has just
closed fails instead of going out once more; interim answers, trailers and chunk extensions may grow without an end;
bare line feeds, folded headers, other transfer codings and a change of protocol pass; an answer that stops within its
head cannot be told from none at all; idle connections are not bounded in number.
"""
