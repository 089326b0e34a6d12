# Debian's ruby-redis against a server: what an application does with it. Arguments: port.
require "redis"

port = Integer(ARGV[0])
connect = ->(**options) { Redis.new(host: "127.0.0.1", port: port, timeout: 60, **options) }
check = ->(what, right) { right or abort "failed: #{what}" }

r = connect.()
check.("ping", r.ping == "PONG")
r.flushall

every_byte = (0..255).to_a.pack("C*") * 40
r.set("bin", every_byte)
check.("bytes", r.get("bin").b == every_byte.b)
check.("set options", r.set("k", "v", ex: 100, nx: true) && !r.set("k", "w", nx: true) && r.ttl("k").between?(1, 100))
check.("hash", r.mapped_hmset("h", "a" => 1, "b" => "two") == "OK" && r.hgetall("h") == { "a" => "1", "b" => "two" })
check.("sorted set", r.zadd("z", [[1, "one"], [2.5, "two"]]) == 2 && r.zrange("z", 0, -1, with_scores: true) == [["one", 1.0], ["two", 2.5]])
check.("set", r.sadd("s", (0...100).map(&:to_s)) == 100 && r.sismember("s", 50) == true && r.smembers("s").size == 100)
check.("list", r.rpush("l", %w[a b c]) == 3 && r.lrange("l", 0, -1) == %w[a b c] && r.lmove("l", "l2", "LEFT", "RIGHT") == "a")
check.("float", r.incrbyfloat("f", 10.5) == 10.5)
check.("info", r.info["redis_version"] && r.config(:get, "maxmemory") == { "maxmemory" => "0" })
begin
  r.lpush("h", 1)
  abort "failed: a wrong type was taken"
rescue Redis::CommandError => e
  check.("wrong type", e.message.start_with?("WRONGTYPE"))
end

check.("pipeline", r.pipelined { |p| 1000.times { |i| p.set("p:#{i}", i) } }.all?("OK"))
check.("multi", r.multi { |m| m.incr("n"); m.incr("n"); m.get("n") } == [1, 2, "2"])
broken = r.watch("n") do
  connect.().set("n", 7)
  r.multi { |m| m.incr("n") }
end
check.("watch", broken.nil? && r.get("n") == "7")
check.("scan", r.scan_each(match: "p:*", count: 100).to_a.uniq.size == 1000)

pusher = Thread.new { connect.().rpush("queue", "job") }
check.("blpop", r.blpop("queue", timeout: 50) == %w[queue job])
pusher.join
check.("blpop in vain", r.blpop("none", timeout: 1).nil?)

heard = []
connect.().subscribe("news") do |on|
  on.subscribe { |_, _| connect.().publish("news", "hello") }
  on.message do |_, message|
    heard << message
    raise StopIteration
  end
rescue StopIteration
  nil
end rescue StopIteration
check.("publish", heard == ["hello"])

id = r.xadd("st", { "a" => 1 })
r.xgroup(:create, "st", "g", "0")
check.("stream", r.xreadgroup("g", "me", "st", ">") == { "st" => [[id, { "a" => "1" }]] } && r.xack("st", "g", id) == 1)

check.("eval", r.eval("return {KEYS[1], ARGV[1], 3.9, true}", keys: ["k"], argv: ["a"]) == ["k", "a", 3, 1])
sha = r.script(:load, "return redis.call('INCRBY', KEYS[1], 2)")
check.("evalsha", r.evalsha(sha, keys: ["count"]) == 2)
puts "ok"
