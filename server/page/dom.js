// Elements, and changes of them that touch only what is another.

/**
 * The element of that id, of page.html.
 * @param {string} id @returns {any}
 */
export const $ = (id) => document.getElementById(id);

/**
 * @param {string} tag @param {string} [className] @param {string} [text]
 * @returns {any}
 */
export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

const SVG = 'http://www.w3.org/2000/svg';

/**
 * @param {string} tag @param {Record<string, string|number>} attributes
 * @returns {any}
 */
export function svg(tag, attributes = {}) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, String(value));
  }
  return made;
}

/** @param {Node} node @param {string} text */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** @param {Element} node @param {string} name @param {string|number} value */
export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, String(value));
  }
}

/**
 * Makes `list` a list of terms and what they mean.
 * @param {Element} list @param {[string, string][]} pairs
 */
export function setFacts(list, pairs) {
  const known = pairs.filter(([, text]) => text !== '');
  while (list.children.length > 2 * known.length) list.lastChild?.remove();
  while (list.children.length < 2 * known.length) {
    list.append(element('dt'), element('dd'));
  }
  known.forEach(([term, text], i) => {
    setText(list.children[2 * i], term);
    setText(list.children[2 * i + 1], text);
  });
}
