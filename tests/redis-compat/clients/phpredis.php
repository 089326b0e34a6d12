<?php
// Debian's php-redis against a server: what an application does with it. Arguments: port.
function check(string $what, bool $right): void
{
    if (!$right) {
        fwrite(STDERR, "failed: $what\n");
        exit(1);
    }
}

function connect(int $port): Redis
{
    $r = new Redis();
    $r->connect('127.0.0.1', $port, 10);
    return $r;
}

$port = (int) $argv[1];
$r = connect($port);
check('ping', (bool) $r->ping());
$r->flushAll();

$bytes = implode('', array_map('chr', range(0, 255)));
check('bytes', $r->set('bin', str_repeat($bytes, 40)) && $r->get('bin') === str_repeat($bytes, 40));
check('set options', $r->set('k', 'v', ['nx', 'ex' => 100]) && !$r->set('k', 'w', ['nx']) && $r->ttl('k') > 0);
check('hash', $r->hMSet('h', ['a' => 1, 'b' => 'two']) && $r->hGetAll('h') === ['a' => '1', 'b' => 'two']);
check('sorted set', $r->zAdd('z', 1, 'one', 2.5, 'two') === 2 && $r->zRange('z', 0, -1, true) === ['one' => 1.0, 'two' => 2.5]);
check('set', $r->sAdd('s', ...range(0, 99)) === 100 && $r->sIsMember('s', 50) && count($r->sMembers('s')) === 100);
check('list', $r->rPush('l', 'a', 'b', 'c') === 3 && $r->lRange('l', 0, -1) === ['a', 'b', 'c']);
check('float', $r->incrByFloat('f', 10.5) === 10.5);
check('info', isset($r->info()['redis_version']) && $r->config('GET', 'maxmemory') === ['maxmemory' => '0']);
check('wrong type', @$r->lPush('h', 'x') === false && str_starts_with($r->getLastError(), 'WRONGTYPE'));
$r->clearLastError();

$p = $r->pipeline();
for ($i = 0; $i < 1000; $i++) {
    $p->set("p:$i", $i);
}
check('pipeline', array_unique($p->exec()) === [true]);
check('multi', $r->multi()->incr('n')->incr('n')->get('n')->exec() === [1, 2, '2']);
$r->watch('n');
connect($port)->set('n', 7);
check('watch', $r->multi()->incr('n')->exec() === false && $r->get('n') === '7');

$seen = [];
$cursor = null;
$r->setOption(Redis::OPT_SCAN, Redis::SCAN_RETRY);
while (($keys = $r->scan($cursor, 'p:*', 100)) !== false) {
    $seen = array_merge($seen, $keys);
}
check('scan', count(array_unique($seen)) === 1000);
check('blpop', $r->rPush('queue', 'job') === 1 && $r->blPop(['queue'], 5) === ['queue', 'job'] && $r->blPop(['none'], 1) === []);
$id = $r->xAdd('st', '*', ['a' => '1']);
check('stream', $r->xGroup('CREATE', 'st', 'g', '0') && $r->xReadGroup('g', 'me', ['st' => '>']) === ['st' => [$id => ['a' => '1']]] && $r->xAck('st', 'g', [$id]) === 1);
check('eval', $r->eval("return {KEYS[1], ARGV[1], 3}", ['k', 'a'], 1) === ['k', 'a', 3]);
check('sessions and locks', $r->rawCommand('SET', 'lock', 'x', 'NX', 'PX', '1000') === true && $r->rawCommand('SET', 'lock', 'y', 'NX', 'PX', '1000') === false);
echo "ok\n";
