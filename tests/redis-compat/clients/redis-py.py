# Debian's python3-redis against a server: what an application does with it. Arguments: port.
import sys
import threading

import redis

port = int(sys.argv[1])


def connect(**options):
    return redis.Redis(host="127.0.0.1", port=port, socket_timeout=60, **options)


r = connect()
assert r.ping() and r.flushall()

# Values are bytes, and text when asked for.
every_byte = bytes(range(256)) * 40
assert r.set("bin", every_byte) and r.get("bin") == every_byte
text = connect(decode_responses=True)
assert text.set("ключ", "значение", ex=100, nx=True) and text.get("ключ") == "значение" and 0 < text.ttl("ключ") <= 100
assert text.set("ключ", "x", nx=True) is None and text.getdel("ключ") == "значение"

# Types of replies.
assert r.hset("h", mapping={"a": 1, "b": "two"}) == 2 and text.hgetall("h") == {"a": "1", "b": "two"}
assert r.zadd("z", {"one": 1, "two": 2.5}) == 2 and text.zrange("z", 0, -1, withscores=True) == [("one", 1.0), ("two", 2.5)]
assert r.sadd("s", *range(100)) == 100 and text.sismember("s", 50) and len(r.smembers("s")) == 100
assert r.rpush("l", *range(10)) == 10 and text.lrange("l", 2, 4) == ["2", "3", "4"] and text.lpos("l", "7") == 7
assert r.geoadd("g", (13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")) == 2
assert round(r.geodist("g", "Palermo", "Catania", "km")) == 166
assert r.incrbyfloat("f", 10.5) == 10.5 and r.type("z") == b"zset"
assert r.info("server")["redis_version"] and r.config_get("maxmemory")["maxmemory"] == "0"
assert r.client_setname("py") and any(c["name"] == "py" for c in r.client_list())
assert r.command_count() > 200 and "get" in r.command()
try:
    r.lpush("h", 1)
    raise AssertionError("a wrong type was taken")
except redis.ResponseError as e:
    assert str(e).startswith("WRONGTYPE"), e

# Pipelines and transactions; a watched key that changes stops one.
with r.pipeline(transaction=False) as p:
    for i in range(5000):
        p.set(f"p:{i}", i)
    assert all(p.execute())
with r.pipeline() as p:
    p.incr("n").incr("n").get("n")
    assert p.execute() == [1, 2, b"2"]
with r.pipeline() as p:
    p.watch("n")
    r.set("n", 7)
    p.multi()
    p.incr("n")
    try:
        p.execute()
        raise AssertionError("a broken transaction ran")
    except redis.WatchError:
        pass
assert r.transaction(lambda p: p.multi() or p.incrby("n", 3), "n") == [10]

# Iterators see every key once.
assert sum(1 for _ in r.scan_iter("p:*", count=100)) == 5000
assert len(list(r.sscan_iter("s"))) == 100 and dict(text.hscan_iter("h")) == {"a": "1", "b": "two"}

# Waiting and publishing.
pushed = threading.Thread(target=lambda: connect().rpush("queue", "job"))
pushed.start()
assert r.blpop("queue", timeout=50) == (b"queue", b"job") and r.blpop("none", timeout=1) is None
pushed.join()
listener = connect(decode_responses=True).pubsub()
listener.subscribe("news")
listener.psubscribe("other.*")
assert [listener.get_message(timeout=60)["type"] for _ in range(2)] == ["subscribe", "psubscribe"]
assert r.publish("news", "a") == 1 and r.publish("other.b", "c") == 1
assert [listener.get_message(timeout=60)["data"] for _ in range(2)] == ["a", "c"]
listener.close()

# Streams and consumer groups.
ids = [r.xadd("st", {"i": i}) for i in range(10)]
assert r.xlen("st") == 10 and r.xgroup_create("st", "g", id="0")
read = r.xreadgroup("g", "me", {"st": ">"}, count=4)
assert [i for i, _ in read[0][1]] == ids[:4] and r.xack("st", "g", *ids[:2]) == 2 and r.xpending("st", "g")["pending"] == 2
assert r.xinfo_stream("st")["length"] == 10

# Users.
assert r.acl_setuser("app", enabled=True, passwords=["+secret"], keys=["app:*"], commands=["+@read", "+@write", "+ping"])
assert "app:*" in str(r.acl_getuser("app"))
app = connect(username="app", password="secret")
assert app.set("app:1", 1)
for forbidden in (lambda: app.set("other", 1), lambda: app.config_get("port")):
    try:
        forbidden()
        raise AssertionError("a user did what it may not")
    except redis.exceptions.NoPermissionError:
        pass
try:
    connect(username="app", password="wrong").ping()
    raise AssertionError("a wrong password was taken")
except redis.RedisError:
    pass
assert r.acl_deluser("app") == 1

# Scripts.
double = r.register_script("redis.call('INCRBY', KEYS[1], ARGV[1]); return redis.call('GET', KEYS[1]) * 2")
assert double(keys=["count"], args=[21]) == 42
lock = r.lock("lock", timeout=100)
assert lock.acquire(blocking=False) and not r.lock("lock").acquire(blocking=False)
lock.release()
assert r.exists("lock") == 0
print("ok")
