# Debian's ruby-sidekiq: jobs are queued, run by a process of several threads, retried and scheduled; none is lost, none runs twice. Arguments: port.
ENV["REDIS_PORT"] = ARGV[0]
require_relative "sidekiq_jobs"
require "sidekiq/api"
require "tmpdir"

Sidekiq.redis(&:flushall)
200.times { |i| Count.perform_async(i) }
Sidekiq::Client.push_bulk("class" => Count, "args" => (200...300).map { |i| [i] })
FailTwice.perform_async("flaky")
Fail.perform_async
Count.perform_in(1, 1000)
abort "failed: queued" unless Sidekiq::Queue.new.size == 302 && Sidekiq::ScheduledSet.new.size == 1

log = File.join(Dir.tmpdir, "sidekiq-#{Process.pid}.log")
process = spawn("sidekiq", "-q", "default", "-c", "5", "-t", "2", "-e", "production", "-r", File.join(__dir__, "sidekiq_jobs.rb"), out: log, err: log)
begin
  state = nil
  finished = 1200.times.any? do
    sleep 0.1
    state = Sidekiq.redis { |r| [r.hlen("done"), r.hget("tries", "flaky").to_i, Sidekiq::RetrySet.new.size, Sidekiq::DeadSet.new.size] }
    state == [301, 3, 0, 1]
  end
  abort "failed: #{state}\n#{File.read(log)}" unless finished
ensure
  Process.kill("TERM", process)
  Process.wait(process)
end

twice = Sidekiq.redis { |r| r.hgetall("done") }.reject { |_, times| times == "1" }
abort "failed: run twice: #{twice}" unless twice.empty?
stats = Sidekiq::Stats.new
abort "failed: statistics" unless stats.processed == 305 && stats.failed == 3 && stats.enqueued == 0
File.delete(log)
puts "ok"
