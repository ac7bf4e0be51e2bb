// A stream of the daemon that begins again whenever it has ended.

const RETRY = 1000;  // Milliseconds.

export class Feed {
  /**
   * @param {{onOpen?: () => void, onMessage: (message: any) => void,
   *          onRestart?: () => void, onError?: () => void}} calls onOpen comes
   *     before the first message of each connection.
   */
  constructor(calls) {
    this.calls = calls;
    this.url = '';
    /** @type {EventSource|null} */
    this.source = null;
    this.timer = 0;
  }

  /** Reads from `url`, and from nowhere else any more. @param {string} url */
  open(url) {
    this.close();
    this.url = url;
    const source = new EventSource(url);
    this.source = source;
    source.onopen = () => this.calls.onOpen?.();
    source.onmessage = (event) => this.calls.onMessage(JSON.parse(event.data));
    source.addEventListener('restart', () => this.calls.onRestart?.());
    source.onerror = () => {
      this.calls.onError?.();
      // A stream that breaks the browser opens again, with the last id; one that
      // was refused it does not.
      if (source.readyState !== EventSource.CLOSED) return;
      this.timer = setTimeout(() => this.open(url), RETRY);
    };
  }

  again() { this.open(this.url); }

  close() {
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }
}
