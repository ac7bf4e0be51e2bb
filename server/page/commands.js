// Commands of the command-line client, to be copied: this page does nothing.
import {$, element} from './dom.js';

let timer = 0;

async function copy(/** @type {string} */ command) {
  let told = `Copied: ${command}`;
  try {
    await navigator.clipboard.writeText(command);
  } catch {  // Only where the browser trusts the place that the page is from.
    told = `To copy: ${command}`;
  }
  $('toast').textContent = told;
  $('toast').classList.add('shown');
  clearTimeout(timer);
  timer = setTimeout(() => $('toast').classList.remove('shown'), 6000);
}

/**
 * A button that copies the command that `command` gives.
 * @param {string} text @param {() => string} command
 */
export function copyButton(text, command) {
  const made = element('button', 'copy', text);
  made.type = 'button';
  made.addEventListener('click', () => copy(command()));
  made.describe = () => {
    const label = `Copy: ${command()}`;
    if (made.title === label) return;
    made.title = label;
    made.setAttribute('aria-label', label);
  };
  made.describe();
  return made;
}

/** @param {HTMLElement} place @param {string[]} commands */
export function showCommands(place, commands) {
  const shown = commands.join('\n');
  if (place.dataset.shown === shown) return;
  place.dataset.shown = shown;
  place.replaceChildren(...commands.map((command) => {
    const made = copyButton('', () => command);
    made.append(element('code', '', command));
    return made;
  }));
}
