// A stream of the daemon that begins again whenever it has ended.

const RETRY = 1000;  // Milliseconds.
const MOST = 200;    // Letters of what is said of a refusal.

/**
 * What an answer says that is no stream; empty of one that is.
 * @param {Response} answer
 */
async function refusalOf(answer) {
  const type = (answer.headers.get('Content-Type') ?? '').split(';')[0].trim();
  if (answer.ok) {
    return type === 'text/event-stream' ? '' : `answered with ${type || 'nothing'}`;
  }
  // The daemon says why in words, or in JSON; who stands before it may do so in
  // a whole document, which is for nobody here.
  let said = '';
  try {
    if (type === 'text/plain') said = await answer.text();
    if (type === 'application/json') said = (await answer.json()).message;
  } catch {  // The status is known all the same.
  }
  const why = String(said || answer.statusText).trim().slice(0, MOST);
  return `refused with ${answer.status}${why && `: ${why}`}`;
}

export class Feed {
  /**
   * @param {{onOpen?: () => void, onMessage: (message: any) => void,
   *          onRestart?: () => void, onError?: () => void}} calls onOpen comes
   *     before the first message of each connection, onRestart before what comes
   *     does not go on from what came.
   */
  constructor(calls) {
    this.calls = calls;
    this.url = '';
    /** @type {EventSource|null} */
    this.source = null;
    this.lastId = '';  // Of what has come from `url`.
    this.timer = 0;
    this.refusal = '';  // Why there is no stream, where somebody has said so.
    /** @type {AbortController|null} */
    this.asking = null;  // For that.
  }

  /** Reads from `url`, and from nowhere else any more. @param {string} url */
  open(url) {
    this.url = url;
    this.lastId = '';
    this.refusal = '';
    this.again();
  }

  /** Reads on where it was, by another connection. */
  again() {
    this.close();
    // The browser knows the id only for as long as it opens the stream itself.
    if (this.lastId === '') this.calls.onRestart?.();
    const url = this.lastId === '' ? this.url : this.url +
        `${this.url.includes('?') ? '&' : '?'}last_event_id=` +
        encodeURIComponent(this.lastId);
    const source = new EventSource(url);
    this.source = source;
    source.onopen = () => {
      this.refusal = '';
      this.calls.onOpen?.();
    };
    source.onmessage = (event) => {
      if (event.lastEventId !== '') this.lastId = event.lastEventId;
      this.calls.onMessage(JSON.parse(event.data));
    };
    source.addEventListener('restart', () => {
      this.lastId = '';
      this.calls.onRestart?.();
    });
    source.onerror = () => {
      this.calls.onError?.();
      // A stream that breaks the browser opens again, with the last id; one that
      // was refused it does not.
      if (source.readyState !== EventSource.CLOSED) {
        this.refusal = '';
        return;
      }
      this.timer = setTimeout(() => this.again(), RETRY);
      this.#askWhy(url);
    };
  }

  /**
   * Asks for what an EventSource does not tell. What may be a stream now ends with
   * the next try.
   */
  async #askWhy(/** @type {string} */ url) {
    const asking = new AbortController();
    this.asking = asking;
    let refusal = '';
    try {
      refusal = await refusalOf(
          await fetch(url, {cache: 'no-store', signal: asking.signal}));
    } catch {  // Nobody answers, or it comes too late.
    }
    if (this.asking === asking) this.refusal = refusal;
  }

  close() {
    clearTimeout(this.timer);
    this.asking?.abort();
    this.asking = null;
    this.source?.close();
    this.source = null;
  }
}
