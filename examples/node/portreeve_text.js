'use strict';
// How people write addresses and names, as the daemon and its CLI read them:
// "tcp:HOST:PORT", "HOST:PORT", ":PORT", "tcp:[::1]:80", "unix:/path", and
// "unix:@name" for an abstract socket ("unix:./@name" is a file); "web" or
// "listeners/web", "a7" or "connections/a7".

const EXPECTED = 'an address is tcp:HOST:PORT, tcp:[IPV6]:PORT, unix:/path ' +
    'or unix:@name; tcp: may be left out';

function wrong(text, why) {
  return new TypeError(`'${text}': ${why}; ${EXPECTED}`);
}

function pathOf(text, path, directory) {
  if (path === '') throw wrong(text, 'no path');
  if (path.includes('\0')) throw wrong(text, 'no path has a NUL byte');
  if (path === '@') throw wrong(text, 'no name after the @');
  if (path.startsWith('@')) return '\0' + path.slice(1);
  // Not normalised: what was written is what the daemon shows.
  if (path.startsWith('/')) return path;
  return directory + (directory.endsWith('/') ? '' : '/') + path;
}

function hostAndPort(text, rest) {
  const colon = rest.lastIndexOf(':');
  if (colon < 0) throw wrong(text, 'no port');
  let host = rest.slice(0, colon);
  const digits = rest.slice(colon + 1);
  if (host.startsWith('[')) {
    if (!host.endsWith(']')) {
      throw wrong(text, 'the brackets do not hold an address');
    }
    host = host.slice(1, -1);
  } else if (host.includes(':')) {
    throw wrong(text, 'an IPv6 address needs brackets');
  }
  if ([...'[]/ \0'].some((c) => host.includes(c))) {
    throw wrong(text, `host '${host}' is no host`);
  }
  if (!/^[0-9]+$/.test(digits) || digits.endsWith('\n')) {
    throw wrong(text, `port '${digits}' is no number`);
  }
  if (digits.length > 5 || Number(digits) > 65535) {
    throw wrong(text, `port ${digits} is not in 0-65535`);
  }
  return { host, port: Number(digits) };
}

function parse(text, directory) {
  if (text.startsWith('unix:')) {
    return { path: pathOf(text, text.slice(5), directory) };
  }
  return hostAndPort(text, text.startsWith('tcp:') ? text.slice(4) : text);
}

/**
 * The text as a portreeve.v1.WhereToListen. A host that is empty or `*` is every
 * IPv4 address; a relative path counts from `directory`. Throws TypeError.
 */
function whereToListen(text, directory = process.cwd()) {
  const { host, port, path } = parse(text, directory);
  return path === undefined ? { inet: { address: host, port } } :
      { unix_socket: { path } };
}

/** As whereToListen(), of a portreeve.v1.WhereToConnect. */
function whereToConnect(text, directory = process.cwd()) {
  const { host, port, path } = parse(text, directory);
  if (path !== undefined) return { unix_socket: { path } };
  if (host === '' || host === '*') {
    throw wrong(text, 'nobody can connect to every address: name a host');
  }
  if (port === 0) throw wrong(text, 'nobody can connect to port 0');
  return { inet: { host, port } };
}

/** The address of a daemon as grpc-js takes it. Throws TypeError. */
function target(text, directory = process.cwd()) {
  const { inet, unix_socket: unix } = whereToConnect(text, directory);
  // An abstract name stays as it is: it needs Node 20.
  if (unix !== undefined) return `unix:${unix.path}`;
  const { host, port } = inet;
  return host.includes(':') ? `dns:[${host}]:${port}` : `dns:${host}:${port}`;
}

function fullName(collection, text) {
  const id = text.startsWith(collection) ? text.slice(collection.length) : text;
  if (id === '' || id.includes('/')) {
    throw new TypeError(
        `'${text}' is no name: expected ID or ${collection}ID`);
  }
  return collection + id;
}

/** The full name, "listeners/ID". Throws TypeError. */
function listenerName(text) {
  return fullName('listeners/', text);
}

/** The full name, "connections/ID". Throws TypeError. */
function connectionName(text) {
  return fullName('connections/', text);
}

module.exports = {
  connectionName, listenerName, target, whereToConnect, whereToListen,
};
