// The text of values, as the command-line client writes them.

/**
 * An int64 of protobuf's JSON, which is a string, or left out where it is 0.
 * @param {string|number|undefined} value
 */
export const int64 = (value) => BigInt(value ?? 0);

/** @param {number|bigint} value NaN is what is not known. */
export const count = (value) =>
  Number.isNaN(value) ? '–' : value.toLocaleString('en-US');

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];

/** @param {number|bigint} value */
export function bytes(value) {
  let size = Number(value);
  if (Number.isNaN(size)) return '–';
  let unit = 0;
  for (; size >= 999.5 && unit < UNITS.length - 1; ++unit) size /= 1024;
  const digits = unit === 0 || size >= 99.95 ? 0 : 1;
  return `${size.toFixed(digits)} ${UNITS[unit]}`;
}

/** @param {number} value Per second. */
export const rate = (value) => count(Math.round(value));

/** @param {number} seconds */
export function duration(seconds) {
  if (!(seconds > 0)) return '0 s';
  if (seconds < 0.001) return `${(seconds * 1e6).toFixed(0)} µs`;
  if (seconds < 1) return `${Number((seconds * 1e3).toPrecision(2))} ms`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) {
    return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
  }
  if (seconds < 86400) {
    return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
  }
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`;
}

/**
 * A google.protobuf.Duration in seconds: "0.000120s".
 * @param {string|undefined} text
 */
export const seconds = (text) => parseFloat(text ?? '0');

/** @param {string} time RFC 3339, in the clock of the reader. */
export function clock(time) {
  const at = new Date(time);
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.` +
      String(at.getMilliseconds()).padStart(3, '0');
}

/** An Address, WhereToListen or WhereToConnect. @param {any} address */
export function address(address) {
  if (address?.inet) {
    const host = address.inet.address || address.inet.host || '*';
    const port = address.inet.port ?? 0;
    return host.includes(':') ? `tcp:[${host}]:${port}` : `tcp:${host}:${port}`;
  }
  if (address?.unixSocket) {
    return `unix:${(address.unixSocket.path ?? '').replace(/^\0/, '@')}`;
  }
  return '';
}

/** @param {any} spec A ListenerSpec. */
export function handler(spec) {
  const kind = Object.keys(spec?.handler ?? {})[0] ?? '';
  if (kind !== 'forward') return kind;
  return `forward=${address(spec.handler.forward.upstream)}`;
}

/** @param {Record<string, string>|undefined} labels */
export function labels(labels) {
  return Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`)
      .sort().join(' ');
}

/**
 * "LISTENER_STATE_FAILED" is "failed".
 * @param {string|undefined} value
 * @param {string} prefix
 */
export function word(value, prefix) {
  return (value ?? '').replace(prefix, '').toLowerCase().replaceAll('_', ' ');
}

/** "listeners/web" is "web". @param {string} name */
export const id = (name) => name.slice(name.indexOf('/') + 1);
