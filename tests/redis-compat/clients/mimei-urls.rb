# Debian's ruby-redis reaches any MiMei by its URL, with the id or a name behind the user. Arguments: port.
require "redis"

port = Integer(ARGV[0])
check = ->(what, right) { right or abort "failed: #{what}" }
connect = ->(user) { Redis.new(url: "redis://#{user}:any@127.0.0.1:#{port}", timeout: 60) }

start = Redis.new(host: "127.0.0.1", port: port)
mid = start.call("MIMEI", "CREATE", "DB", "MARK", "urls")
check.("name", start.call("MIMEI", "NAME", "shop", mid) == "OK")
start.set("where", "default")
["default%40#{mid}", "default%40shop", "default%40shop%2Fcur"].each do |user|
  shop = connect.(user)
  check.(user, shop.call("MIMEI", "ID").first == mid)
  shop.set("where", "shop")
  start.client("KILL", "TYPE", "normal", "SKIPME", "yes")
  check.("#{user} again", shop.get("where") == "shop")
end
check.("default", start.get("where") == "default")
puts "ok"
