// A stream of the daemon that begins again whenever it has ended.

const RETRY = 1000;  // Milliseconds.

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
  }

  /** Reads from `url`, and from nowhere else any more. @param {string} url */
  open(url) {
    this.url = url;
    this.lastId = '';
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
    source.onopen = () => this.calls.onOpen?.();
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
      if (source.readyState !== EventSource.CLOSED) return;
      this.timer = setTimeout(() => this.again(), RETRY);
    };
  }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }
}
