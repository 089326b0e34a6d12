// Who this node is to others, and to whom it is connected.

import { h, table, short, field, number, button, doing, tell, nothing, badge } from './ui.js';
import { t } from './text.js';
import { runAll, run, or, record } from './api.js';

export async function network({ signal, show }) {
  const [identity, peers] = await runAll({}, [['SWARM', 'ID'], ['SWARM', 'PEERS']], signal);
  if (identity instanceof Error) throw identity;
  const id = record(identity), connections = or(peers, []).map(record);
  const form = h('form.row', {
    onsubmit: doing(async (e) => {
      e.preventDefault();
      const address = new FormData(form).get('address').trim();
      if (!address) return;
      await run({}, ['SWARM', 'CONNECT', address]);
      tell(t('connected'));
      show();
    }),
  }, h('input.grow', { name: 'address', 'aria-label': t('address'), placeholder: '/ip4/…/tcp/4800  ·  host:4800', autocapitalize: 'none', spellcheck: 'false' }), h('button.primary', { type: 'submit' }, t('connect')));
  return h('div', null,
    h('div.title', null, h('h1', null, t('network')), badge(number(connections.length))),
    h('section.card', { 'aria-label': t('connections') }, h('h2', null, t('connections')), form,
      connections.length === 0 ? nothing(t('noConnections')) : table(t('connections'), [t('peer'), t('address'), t('direction'), t('latency'), t('streams'), t('agent'), ''],
        connections.map((c) => [short(c.peer), h('code', null, c.address), c.direction === 'in' ? t('inbound') : t('outbound'), c['latency-us'] < 50 ? '< 0.1 ms' : `${number(Math.round(c['latency-us'] / 100) / 10)} ms`, number(c.streams), c.agent,
          button(t('disconnect'), doing(async () => { await run({}, ['SWARM', 'DISCONNECT', c.peer]); show(); }))]))),
    h('section.card', { 'aria-label': t('node') }, h('h2', null, t('node')),
      field(t('node'), short(id.node, 14)), field(t('peer'), short(id.peer, 14)),
      h('h3', null, t('addresses')), h('ul.addresses', null, (id.addresses ?? []).map((a) => h('li', null, h('code', null, a))))));
}
