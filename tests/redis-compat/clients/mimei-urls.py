# Debian's python3-redis reaches any MiMei by its URL, with the id or a name behind the user, and comes back to it. Arguments: port.
import sys

import redis

port = int(sys.argv[1])


def connect(user, path=""):
    return redis.Redis.from_url(f"redis://{user}:any@127.0.0.1:{port}{path}", decode_responses=True, socket_timeout=60)


start = redis.Redis(host="127.0.0.1", port=port, decode_responses=True)
mid = start.execute_command("MIMEI", "CREATE", "DB", "MARK", "urls")
assert len(mid) == 27 and start.execute_command("MIMEI", "NAME", "shop", mid) == "OK"
assert start.set("where", "default")

for user in ("default@" + mid, "default%40shop", "default@shop%2Fcur", "@shop"):
    shop = connect(user)
    assert shop.execute_command("MIMEI", "ID")[0] == mid, user
    assert shop.get("where") in (None, "shop") and shop.set("where", "shop"), user
    client = shop.client_info() if hasattr(shop, "client_info") else {}
    assert client.get("mimei", mid).strip() == mid

# The number of the database is one within the MiMei.
assert connect("default@shop", "/3").get("where") is None and connect("default@shop", "/0").get("where") == "shop"
pool = connect("default@shop")
with pool.pipeline() as pipeline:
    assert pipeline.set("a", 1).incr("a").execute() == [True, 2]

# A connection that broke is made again, and is where it was.
for client in start.client_list():
    if client["id"] != str(start.client_id()):
        start.client_kill_filter(_id=client["id"])
assert pool.get("where") == "shop" and start.get("where") == "default"
try:
    connect("default@nosuch").ping()
    raise AssertionError("a MiMei that does not exist was opened")
except redis.RedisError as e:
    assert "no such MiMei 'nosuch'" in str(e), e
print("ok")
