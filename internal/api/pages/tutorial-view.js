// Small things that show something: JSON with colours, copying, announcing.

const token = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g;

function span(className, text) {
  const element = document.createElement('span');
  element.className = className;
  element.textContent = text;
  return element;
}

// showJSON puts pretty JSON into an element, with a class for each kind of value.
export function showJSON(element, text) {
  element.replaceChildren();
  let end = 0;
  for (const found of text.matchAll(token)) {
    const [, string, colon, word] = found;
    const kind = string ? (colon ? 'json-key' : 'json-string') : (word ? 'json-word' : 'json-number');
    element.append(text.slice(end, found.index), span(kind, string ?? found[0]), colon ?? '');
    end = found.index + found[0].length;
  }
  element.append(text.slice(end));
}

// announce has a screen reader read the text.
export function announce(text) {
  const place = document.getElementById('announcer');
  place.textContent = '';
  place.textContent = text;
}

// copy puts the text of an element into the clipboard; where the browser has no
// clipboard for a page without TLS, in the old way.
export async function copy(element, button) {
  let copied = true;
  try {
    await navigator.clipboard.writeText(element.textContent);
  } catch {
    window.getSelection().selectAllChildren(element);
    copied = document.execCommand('copy');
  }
  button.textContent = copied ? 'Copied' : 'Press Ctrl-C';
  announce(copied ? 'The command is copied.' : 'The command is selected.');
  button.addEventListener('blur', () => { button.textContent = 'Copy'; }, { once: true });
}

// fromTemplate makes the element of a template.
export function fromTemplate(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}
