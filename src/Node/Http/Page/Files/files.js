// Content: the node's tree of files, what is pinned, and any CID. Documents open at the gateway, in an origin of their own.

import { h, table, short, bytes, number, nothing, icon, badge } from './ui.js';
import { t } from './text.js';
import { runAll, run, or } from './api.js';

const at = (path) => '#/files/' + path.split('/').filter(Boolean).map(encodeURIComponent).join('/');

/** Where the gateway shows content: at localhost each has an origin of its own; the address of a browser that came by number stays. */
const gateway = (path) => h('a.button', { href: path.split('/').map(encodeURIComponent).join('/'), target: '_blank', rel: 'noopener noreferrer' }, icon('open'), h('span', null, t('openGateway')));

export async function files({ parts, signal }) {
  const steps = parts.slice(1);
  const form = h('form.row', {
    onsubmit: (e) => {
      e.preventDefault();
      const path = new FormData(form).get('path').trim();
      if (path) location.hash = at(/^\/?(ipfs|ipns)\//.test(path) ? path : `ipfs/${path}`);
    },
  }, h('input.grow', { name: 'path', 'aria-label': t('path'), placeholder: `${t('path')}: Qm…  bafy…  /ipfs/…/file`, autocapitalize: 'none', spellcheck: 'false', value: steps[0] === 'ipfs' || steps[0] === 'ipns' ? '/' + steps.join('/') : '' }), h('button.primary', { type: 'submit' }, t('openGateway')));
  const head = [h('div.title', null, h('h1', null, t('files'))), h('p.lead', null, t('filesText')), form];
  if (steps[0] === 'ipfs' || steps[0] === 'ipns') return h('div', null, head, await content(steps, signal));
  const path = '/' + steps.join('/');
  const [tree, pins, repo] = await runAll({}, [['IPFS', 'FILES', 'LS', path], ['IPFS', 'PIN', 'LS'], ['IPFS', 'REPO', 'STAT']], signal);
  if (tree instanceof Error) throw tree;
  const stat = Object.fromEntries(or(repo, []).map((v, i, all) => [v, all[i + 1]]).filter((_, i) => i % 2 === 0));
  return h('div', null, head,
    h('section.card', { 'aria-label': t('tree') }, h('h2', null, t('tree')), crumbs([['/', '#/files'], ...steps.map((step, i) => [step, at(steps.slice(0, i + 1).join('/'))])]),
      tree.length === 0 ? nothing(t('empty'), h('pre', null, 'leither ipfs files write /hello.txt hello.txt')) : entries(tree, (name, type) => type === 'directory' ? at(`${steps.join('/')}/${name}`) : null, (name, cid) => `/ipfs/${cid}`)),
    steps.length === 0 && h('section.card', { 'aria-label': t('pinned') }, h('h2', null, t('pinned'), ' ', badge(number(or(pins, []).length)), ' ', stat.bytes !== undefined && badge(bytes(stat.bytes))),
      or(pins, []).length === 0 ? nothing(t('empty'), h('pre', null, 'leither ipfs add FILE'))
        : table(t('pinned'), ['CID', t('kind'), ''], or(pins, []).slice(0, 500).map(([cid, kind]) => [h('a', { href: at(`ipfs/${cid}`) }, h('code', null, cid)), kind, gateway(`/ipfs/${cid}`)]))));
}

async function content(steps, signal) {
  const path = '/' + steps.join('/');
  const stat = await run({}, ['IPFS', 'STAT', path], signal);
  const facts = Object.fromEntries(stat.map((v, i) => [v, stat[i + 1]]).filter((_, i) => i % 2 === 0));
  const isFolder = facts.type === 'directory';
  const list = isFolder ? await run({}, ['IPFS', 'LS', path], signal) : [];
  return h('section.card', { 'aria-label': path }, crumbs(steps.slice(1).map((step, i) => [step, at(steps.slice(0, i + 2).join('/'))])),
    h('p', null, badge(facts.type), ' ', badge(bytes(facts.size)), ' ', short(facts.cid)), gateway(path),
    isFolder && (list.length === 0 ? nothing(t('empty')) : entries(list, (name) => at(`${steps.join('/')}/${name}`), (name) => `${path}/${name}`)));
}

/** The way to a place: names with their addresses. */
export const crumbs = (places) => h('nav.crumbs', { 'aria-label': t('path') }, places.map(([name, href], i) => [i > 0 && h('span', { 'aria-hidden': 'true' }, '/'), h('a', { href }, name)]));

/** What a folder holds; shown gives where the gateway has an entry, if it has any. */
export const entries = (list, href, shown) => table(t('files'), [t('name'), 'CID', t('kind'), t('size'), ...(shown ? [''] : [])], list.map(([name, cid, type, size, total]) => [
  href(name, type) ? h('a', { href: href(name, type) }, name) : name, short(cid), type, bytes(type === 'directory' ? total : size), ...(shown ? [gateway(shown(name, cid))] : [])]));
