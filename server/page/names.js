// Names of resources, as server/api/names.h has them. What is none goes into no
// command and no question: the place of the page, and so what stands in it, may
// come from anybody.

/** @param {string} id */
export const isListenerId = (id) => /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/.test(id);

/** "connections/b12". @param {string} name */
export const isConnectionName = (name) =>
  /^connections\/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name);

/**
 * @typedef {{view: 'overview'|'listener'|'events', id: string}} Place `id` is that
 *     of a listener, and empty where what stands there is none.
 */

/** The place that `hash` names, as "#listener/web". @param {string} hash @returns {Place} */
export function placeOf(hash) {
  let place = '';
  try {
    place = decodeURIComponent(hash.slice(1));
  } catch {  // "#%" is nothing.
  }
  if (place === 'events') return {view: 'events', id: ''};
  if (!place.startsWith('listener/')) return {view: 'overview', id: ''};
  const id = place.slice('listener/'.length);
  return {view: 'listener', id: isListenerId(id) ? id : ''};
}
