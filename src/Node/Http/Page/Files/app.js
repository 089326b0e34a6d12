// The frame: which view the address asks for, who is signed in.
// Addresses: #/  #/mimei  #/mimei/ID/TAB?v=VERSION&db=N&k=KEY  #/files/PATH  #/network

import { h, fill, icon, button, copy, field, loading, problem, doing, nothing } from './ui.js';
import { t, language } from './text.js';
import { run, login, NodeError } from './api.js';
import { overview } from './overview.js';
import { mimeiList, mimeiView } from './mimei.js';
import { files } from './files.js';
import { network } from './network.js';

const places = [['', 'overview', 'home'], ['mimei', 'mimei', 'data'], ['files', 'files', 'files'], ['network', 'network', 'network']];
const main = h('main', { id: 'main', tabindex: '-1' });
const links = places.map(([path, name, symbol]) => h('a', { href: `#/${path}`, 'data-place': path }, icon(symbol), h('span', null, t(name))));
const account = h('div.account');
document.documentElement.lang = language;
document.body.prepend(
  h('a.skip', { href: '#main', onclick: (e) => { e.preventDefault(); main.focus(); } }, t('skip')),
  h('header', null, h('a.brand', { href: '#/' }, h('img', { src: 'page/icon.svg', alt: '', width: 28, height: 28 }), 'Leither'), h('nav', { 'aria-label': 'Leither' }, links), account),
  main);

/** What an address says. */
function parse(hash) {
  const [path, query = ''] = hash.replace(/^#\/?/, '').split('?');
  return { parts: path.split('/').filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(query) };
}

function viewOf({ parts }) {
  switch (parts[0] ?? '') {
    case '': return overview;
    case 'mimei': return parts.length > 1 ? mimeiView : mimeiList;
    case 'files': return files;
    case 'network': return network;
    default: return async () => nothing(t('notFound'));
  }
}

let current = null, shownPath = null;

async function show() {
  current?.abort();
  const here = current = new AbortController();
  const address = parse(location.hash);
  for (const link of links) {
    if (link.dataset.place === (address.parts[0] ?? '')) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  fill(account, login.exists && button(t('logout'), () => { login.end(); show(); }, { symbol: 'out' }));
  const asked = location.hash, path = address.parts.join('/'), isElsewhere = path !== shownPath;
  main.setAttribute('aria-busy', 'true');
  const waiting = setTimeout(() => isElsewhere && fill(main, loading()), 150);
  let made;
  try {
    made = await viewOf(address)({ ...address, signal: here.signal, show });
  } catch (e) {
    if (here.signal.aborted) return;
    made = e instanceof NodeError && e.status === 401 ? loginView(e) : h('div', null, problem(e), button(t('again'), show, { symbol: 'refresh' }));
    if (!(e instanceof NodeError)) console.error(e);
  } finally {
    clearTimeout(waiting);
  }
  if (here.signal.aborted) return;
  fill(main, made);
  main.removeAttribute('aria-busy');
  main.dataset.address = asked;
  main.querySelector('.tabs [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  const title = main.querySelector('h1')?.textContent;
  document.title = title ? `${title} · Leither` : 'Leither';
  if (isElsewhere && shownPath !== null) { main.focus({ preventScroll: true }); scrollTo(0, 0); }
  shownPath = path;
}

function loginView(error) {
  const form = h('form.card.login', {
    onsubmit: doing(async (e) => {
      e.preventDefault();
      const given = new FormData(form);
      const passport = given.get('passport').trim();
      try {
        if (passport) {
          const asked = await login.byPassportOrAsk(passport);
          if (asked) {
            fill(main, proofView(asked));
            return;
          }
        } else login.byPassword(given.get('user'), given.get('password'));
        await run({}, ['PING']);
        show();
      } catch (refused) {
        login.clear();
        fill(said, problem(refused));
      }
    }),
  });
  const said = h('div', null, error.code === 'NOAUTH' ? null : problem(error));
  login.clear();
  return fill(form, h('h1', null, t('login')), h('p', null, t('loginText')), said,
    field(t('user'), h('input', { name: 'user', autocomplete: 'username', autocapitalize: 'none', spellcheck: 'false' }), t('userHint')),
    field(t('password'), h('input', { name: 'password', type: 'password', autocomplete: 'current-password' })),
    h('details', null, h('summary', null, t('passport')), field(t('passport'), h('textarea', { name: 'passport', rows: 4, spellcheck: 'false' }), t('passportHint'))),
    h('div.actions', null, h('button.primary', { type: 'submit' }, t('login'))));
}

/** The passport's subject signs what the node asks; his key stays where it is. */
function proofView({ challenge, node }) {
  const said = h('div'), command = `leither lpki prove me.key me.ppt ${challenge} ${node}`;
  const form = h('form.card.login', {
    onsubmit: doing(async (e) => {
      e.preventDefault();
      try {
        await login.byPassportOrAsk(new FormData(form).get('proved'), challenge);
        await run({}, ['PING']);
        show();
      } catch (refused) {
        login.clear();
        fill(said, problem(refused));
      }
    }),
  });
  return fill(form, h('h1', null, t('prove')), h('p', null, t('proveText')), h('div.row', null, h('pre.grow.command', { tabindex: 0 }, command), copy(command)), said,
    field(t('proved'), h('textarea', { name: 'proved', rows: 4, required: true, spellcheck: 'false', autocapitalize: 'none' }), t('provedHint')),
    h('div.actions', null, button(t('cancel'), show), h('button.primary', { type: 'submit' }, t('login'))));
}

// A view that refreshes itself, or a button in it, may find that the login is over.
addEventListener('needs-login', (e) => { if (shownPath !== null && !main.querySelector('.login')) { current?.abort(); fill(main, loginView(e.detail)); } });
addEventListener('hashchange', show);
show();
