// Colours the words of policies while they are written, below a text field that is clear; leads to what is wrong.
'use strict';
(() => {
  const field = document.getElementById('draft');
  const pre = field.previousElementSibling;
  const code = pre.firstElementChild;
  const words = new Set(['permit', 'when', 'unless', 'principal', 'action', 'resource', 'context', 'in', 'is', 'has',
    'like', 'if', 'then', 'else', 'true', 'false']);
  const piece = /(\/\/.*)|("(?:[^"\\]|\\.)*"?)|(@?[\p{L}_][\p{L}\p{N}_]*)/gu;
  const style = ([, comment, string, word]) => comment ? 'comment' : string ? 'string'
    : word === 'forbid' ? 'bad-word' : words.has(word) ? 'word' : word.startsWith('@') ? 'note' : '';
  const bad = new Set([...document.querySelectorAll('#checked .bad [data-line]')].map((e) => Number(e.dataset.line)));
  const coloured = (text, number) => {
    const line = document.createElement('span');
    line.className = bad.has(number) ? 'line wrong' : 'line';
    let at = 0;
    for (const found of text.matchAll(piece)) {
      line.append(text.slice(at, found.index));
      const span = document.createElement('span');
      span.className = style(found);
      span.textContent = found[0];
      line.append(span);
      at = found.index + found[0].length;
    }
    line.append(text.slice(at), '\n');
    return line;
  };
  // What would be taken for nothing, or turns the direction of writing.
  const unseen = document.getElementById('unseen');
  const hidden = /[^\P{C}\n\t]|[\u2028\u2029\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/gu;
  const warn = () => {
    const found = field.value.match(hidden) || [];
    unseen.hidden = found.length === 0;
    unseen.textContent = `There are ${found.length} characters in it that cannot be seen: `
      + [...new Set(found)].slice(0, 8).map((c) => `U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}`).join(', ');
  };
  // Longer ones are written without colours: each key would cost too much.
  const most = 100000;
  const show = () => {
    const plain = field.value.length > most;
    field.parentElement.classList.toggle('coloured', !plain);
    warn();
    if (!plain) code.replaceChildren(...field.value.split('\n').map((l, i) => coloured(l, i + 1)));
    follow();
  };
  const follow = () => { pre.scrollTop = field.scrollTop; pre.scrollLeft = field.scrollLeft; };
  field.addEventListener('input', () => { bad.clear(); show(); });
  field.addEventListener('scroll', follow);
  for (const link of document.querySelectorAll('[data-line]')) {
    link.addEventListener('click', (event) => {
      event.preventDefault();
      const lines = field.value.split('\n');
      const line = Math.min(Number(link.dataset.line), lines.length) - 1;
      const at = lines.slice(0, line).reduce((n, l) => n + l.length + 1, 0) + Number(link.dataset.column) - 1;
      field.focus();
      field.setSelectionRange(at, Math.max(at + 1, at + lines[line].slice(link.dataset.column - 1).search(/[^\p{L}\p{N}_"]|$/u)));
      field.scrollTop = field.scrollHeight * line / lines.length - field.clientHeight / 3;
    });
  }
  show();
})();
