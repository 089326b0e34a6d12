# Debian's python3-rq: jobs are queued, run by two worker processes, retried and scheduled; none is lost, none runs twice. Arguments: port.
import os
import subprocess
import sys
import time
from datetime import timedelta

port = sys.argv[1]
os.environ["REDIS_PORT"] = port
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import rq_jobs
from rq import Queue, Retry
from rq.registry import FailedJobRegistry, FinishedJobRegistry, ScheduledJobRegistry
from rq.scheduler import RQScheduler

connection = rq_jobs.server()
connection.flushall()
queue = Queue("work", connection=connection)
jobs = [queue.enqueue(rq_jobs.count, i, result_ttl=600) for i in range(40)]
flaky = queue.enqueue(rq_jobs.fail_twice, "flaky", retry=Retry(max=3))
hopeless = queue.enqueue(rq_jobs.fail)
dependent = queue.enqueue(rq_jobs.count, 1000, depends_on=jobs[:3])
later = queue.enqueue_in(timedelta(seconds=1), rq_jobs.count, 2000)
assert later.id in ScheduledJobRegistry(queue=queue).get_job_ids()


def work():
    environment = dict(os.environ, PYTHONPATH=os.path.dirname(os.path.abspath(__file__)))
    command = [sys.executable, "-m", "rq.cli", "worker", "--burst", "--worker-class", "rq.SimpleWorker", "--quiet", "--url", f"redis://127.0.0.1:{port}", "work"]
    workers = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(2)]
    for worker in workers:
        printed, _ = worker.communicate(timeout=120)
        assert worker.returncode == 0, printed.decode()


work()
time.sleep(1.1)
scheduler = RQScheduler([queue], connection=connection)
assert scheduler.acquire_locks()
scheduler.enqueue_scheduled_jobs()
work()

done = {int(k): int(v) for k, v in connection.hgetall("done").items()}
assert done == {**{i: 1 for i in range(40)}, 1000: 1, 2000: 1}, done
for i, job in enumerate(jobs):
    job.refresh()
    assert job.is_finished and job.result == i * 2
for job, result in ((flaky, "at last"), (dependent, 2000), (later, 4000)):
    job.refresh()
    assert job.is_finished and job.result == result, (job.get_status(), job.result)
assert int(connection.hget("tries", "flaky")) == 3
assert FailedJobRegistry(queue=queue).get_job_ids() == [hopeless.id] and len(FinishedJobRegistry(queue=queue)) == 43 and queue.count == 0
print("ok")
