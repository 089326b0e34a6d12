# What rq's workers run: jobs that leave a trace in the server.
import os

import redis


def server():
    return redis.Redis(host="127.0.0.1", port=int(os.environ["REDIS_PORT"]))


def count(number):
    server().hincrby("done", number, 1)
    return number * 2


def fail_twice(name):
    if server().hincrby("tries", name, 1) <= 2:
        raise ValueError("not yet")
    return "at last"


def fail():
    raise ValueError("never")
