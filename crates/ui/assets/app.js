// What pages gain by script: live times, keys, copying, the theme. All else works without it.
'use strict';
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const root = document.documentElement;

  // The theme: the system's, light, dark.
  const button = document.getElementById('theme');
  const themes = ['system', 'light', 'dark'];
  const names = { system: 'Theme: system', light: 'Theme: light', dark: 'Theme: dark' };
  const current = () => root.dataset.theme || 'system';
  if (button) {
    button.hidden = false;
    button.textContent = names[current()];
    button.addEventListener('click', () => {
      const next = themes[(themes.indexOf(current()) + 1) % themes.length];
      if (next === 'system') delete root.dataset.theme; else root.dataset.theme = next;
      try { localStorage.setItem('theme', next); } catch { /* not kept */ }
      button.textContent = names[next];
    });
  }

  // On a phone the navigation is a line that scrolls.
  const here = document.querySelector('.side [aria-current]');
  if (here) here.scrollIntoView({ inline: 'center', block: 'nearest' });

  // Times, as the server words them.
  const span = (s) => s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min`
    : s < 172800 ? `${Math.floor(s / 3600)} h` : `${Math.floor(s / 86400)} d`;
  const words = (at, now) => {
    const s = Math.round((at - now) / 1000);
    return s < 0 ? `${span(-s)} ago` : s > 0 ? `in ${span(s)}` : 'now';
  };
  const two = (n) => String(n).padStart(2, '0');
  const tick = () => {
    const now = Date.now();
    for (const t of all('time[datetime]')) {
      const text = words(Date.parse(t.dateTime), now);
      if (t.textContent !== text) t.textContent = text;
    }
    for (const e of all('[data-until]')) {
      const left = Math.max(0, Math.round((Date.parse(e.dataset.until) - now) / 1000));
      const text = left === 0 ? 'now' : left >= 3600 ? `in ${span(left)}` : `in ${Math.floor(left / 60)}:${two(left % 60)}`;
      if (e.textContent !== text) e.textContent = text;
      e.classList.toggle('soon', left < 60);
    }
  };
  tick();
  setInterval(tick, 1000);

  // On a phone the cells of a row stand below each other, so each says what it is.
  const stack = () => {
    for (const table of all('.scroll > table:not(.result):not(.stacked)')) {
      const names = all('thead th', table).map((th) => th.textContent.trim());
      for (const row of all('tbody tr', table)) [...row.cells].forEach((cell, i) => { cell.dataset.name = names[i] || ''; });
      table.classList.add('stacked');
    }
  };
  stack();
  document.addEventListener('htmx:afterSettle', stack);
  document.addEventListener('htmx:sseMessage', stack);

  // Copying.
  const say = (text) => { const said = document.getElementById('said'); if (said) said.textContent = text; };
  for (const b of all('[data-copy]')) {
    if (!navigator.clipboard) continue;
    b.hidden = false;
    b.addEventListener('click', async () => {
      await navigator.clipboard.writeText(document.getElementById(b.dataset.copy).textContent);
      const before = b.textContent;
      b.textContent = 'Copied';
      say('Copied');
      setTimeout(() => { b.textContent = before; }, 1500);
    });
  }

  // Dialogs; one that asks before a form is sent.
  document.addEventListener('click', (event) => {
    const opener = event.target.closest('[data-dialog]');
    if (!opener) return;
    const dialog = document.getElementById(opener.dataset.dialog);
    if (dialog) { event.preventDefault(); dialog.showModal(); }
  });

  // Keys of lists.
  const items = () => all('[data-item]');
  const at = () => items().findIndex((i) => i.contains(document.activeElement));
  const move = (step) => {
    const list = items();
    if (list.length === 0) return;
    const now = at();
    const next = list[now < 0 ? (step > 0 ? 0 : list.length - 1) : Math.min(list.length - 1, Math.max(0, now + step))];
    next.focus();
    next.scrollIntoView({ block: 'nearest' });
  };
  const within = (selector) => {
    const item = items()[at()] || (document.getElementById('status'));
    return item && item.querySelector(selector);
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, textarea, select, dialog, .ap-player')) return;
    const focus = (selector) => { const e = within(selector); if (e) { e.focus(); event.preventDefault(); } };
    switch (event.key) {
      case 'j': move(1); break;
      case 'k': move(-1); break;
      case 'a': focus('[data-approve]'); break;
      case 'd': focus('[data-deny]'); break;
      case 'o': { const e = within('[data-open]'); if (e) e.click(); break; }
      case '?': { const e = document.getElementById('keys'); if (e && !e.open) e.showModal(); break; }
    }
  });

  // What arrives must not take the focus away from what is being looked at.
  let kept = null;
  document.addEventListener('htmx:beforeSwap', keep);
  document.addEventListener('htmx:sseBeforeMessage', keep);
  function keep() {
    const item = document.activeElement && document.activeElement.closest('li[id]');
    if (!item) { kept = null; return; }
    const e = document.activeElement;
    kept = { id: item.id, selector: e.matches('[data-approve]') ? '[data-approve]' : e.matches('[data-deny]') ? '[data-deny]'
      : e.matches('[data-open]') ? '[data-open]' : '[data-item]' };
  }
  document.addEventListener('htmx:sseMessage', () => {
    tick();
    const count = document.getElementById('waiting');
    if (count) count.hidden = count.textContent.trim().startsWith('0');
    if (!kept) return;
    const item = document.getElementById(kept.id);
    const e = item && item.querySelector(kept.selector);
    if (e && document.activeElement === document.body) e.focus();
  });
})();
