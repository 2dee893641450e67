"""HTTP/1.1 to one origin, over kept connections.

pool          PooledTransport: a bounded pool of kept connections to one origin (`origin`), each of them
connection      HTTP/1.1 as it comes from the socket, for one
exchange          request and its answer, waited for by one reader
head          the head of a request
transport     the seam around these: time-outs, limits, and the name of each failure
"""
