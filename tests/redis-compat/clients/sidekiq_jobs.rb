# What Sidekiq's process runs: jobs that leave a trace in the server.
require "sidekiq"

url = "redis://127.0.0.1:#{ENV.fetch("REDIS_PORT")}"
Sidekiq.configure_client { |config| config.redis = { url: url } }
Sidekiq.configure_server do |config|
  config.redis = { url: url }
  config.options[:poll_interval_average] = 0.3
end

class Count
  include Sidekiq::Worker

  def perform(number) = Sidekiq.redis { |r| r.hincrby("done", number, 1) }
end

class FailTwice
  include Sidekiq::Worker
  sidekiq_options retry: 5
  sidekiq_retry_in { 1 }

  def perform(name) = Sidekiq.redis { |r| r.hincrby("tries", name, 1) } <= 2 && raise("not yet")
end

class Fail
  include Sidekiq::Worker
  sidekiq_options retry: 0

  def perform = raise("never")
end
