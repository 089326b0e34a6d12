// The node at a glance; its figures are asked for every two seconds while somebody looks.

import { h, fill, facts, short, badge, sparkline, number, bytes, duration, problem, icon } from './ui.js';
import { t } from './text.js';
import { runAll, or, record, parseInfo, NodeError } from './api.js';

const every = 2000, remembered = 60;
const history = { ops: [], memory: [], network: [] };

function remember(list, value) {
  list.push(value);
  if (list.length > remembered) list.shift();
}

async function health(signal) {
  try {
    return await (await fetch('/health', { signal, cache: 'no-store' })).json();
  } catch {
    return null;
  }
}

export async function overview({ signal }) {
  const ask = async () => {
    const [replies, state] = await Promise.all([runAll({}, [['INFO'], ['MIMEI', 'LIST'], ['SWARM', 'ID'], ['SWARM', 'PEERS']], signal), health(signal)]);
    const [info, list, id, peers] = replies;
    if (info instanceof NodeError) throw info;
    const figures = parseInfo(info);
    remember(history.ops, Number(figures.instantaneous_ops_per_sec));
    remember(history.memory, Number(figures.used_memory_rss));
    remember(history.network, Number(figures.instantaneous_input_kbps) + Number(figures.instantaneous_output_kbps));
    return { figures, mimeis: or(list, []).map(record), id: record(or(id, [])), peers: or(peers, []), state };
  };
  const view = h('div.overview');
  const draw = ({ figures: f, mimeis, id, peers, state }) => {
    const keys = mimeis.reduce((sum, m) => sum + m.keys, 0), disk = mimeis.reduce((sum, m) => sum + m.disk, 0);
    fill(view,
      h('div.title', null, h('h1', null, t('overview')), state?.status === 'ok' ? badge(t('healthy'), 'good') : badge(t('failing'), 'bad')),
      (state?.problems ?? []).map((p) => problem(new Error(p))),
      h('section.tiles', { 'aria-label': t('overview') },
        tile(t('ops'), number(f.instantaneous_ops_per_sec), sparkline(history.ops, t('ops'))),
        tile(t('memory'), bytes(f.used_memory_rss), sparkline(history.memory, t('memory')), t('ofData', bytes(f.used_memory))),
        tile(t('network'), `${number(Math.round((Number(f.instantaneous_input_kbps) + Number(f.instantaneous_output_kbps)) * 10) / 10)} KiB/s`, sparkline(history.network, t('network'))),
        tile(t('clients'), number(Math.max(0, f.connected_clients - 1))),
        tile(t('mimei'), number(mimeis.length), null, null, '#/mimei'),
        tile(t('keys'), number(keys)),
        tile(t('disk'), bytes(disk)),
        tile(t('peers'), number(new Set(peers.map((p) => record(p).peer)).size), null, null, '#/network')),
      h('section.card', { 'aria-label': t('node') }, h('h2', null, t('node')), facts([
        [t('version'), id.agent || `Redis ${f.redis_version}`],
        [t('running'), duration(f.uptime_in_seconds)],
        [t('node'), short(id.node)],
        [t('peer'), short(id.peer)],
        ['Redis', h('code', null, `redis-cli -p ${f.tcp_port}`)]])));
  };
  try {
    draw(await ask());
  } catch (e) {
    if (e.code !== 'NOPERM') throw e;
    // Who was let in for a MiMei alone begins there.
    location.replace('#/mimei');
    return view;
  }
  const timer = setInterval(async () => {
    if (document.hidden) return;
    try {
      draw(await ask());
    } catch (e) {
      if (!signal.aborted) fill(view, h('div.title', null, h('h1', null, t('overview'))), problem(e));
    }
  }, every);
  signal.addEventListener('abort', () => clearInterval(timer));
  return view;
}

const tile = (name, value, curve = null, note = null, href = null) =>
  h(href ? 'a.tile' : 'div.tile', { href }, h('span.name', null, name, href && icon('forward')), h('span.figure', null, value), note && h('span.note', null, note), curve);
