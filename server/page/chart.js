// Lines and bars, in SVG.
import {element, setAttribute, setText, svg} from './dom.js';

/** The least 1, 2 or 5 times a power of `base` that is not below `value`. */
function ceiling(/** @type {number} */ value, /** @type {number} */ base) {
  if (!(value > 0)) return base === 10 ? 1 : base;
  let unit = 1;
  while (unit * base <= value) unit *= base;
  // Of 1024 the steps between are powers of two.
  const steps = base === 10 ? [1, 2, 5, 10] :
      [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
  return unit * (steps.find((step) => unit * step >= value) ?? base);
}

/**
 * The path through `values`, with a hole where one is NaN, in a box of
 * values.length - 1 by `height`; `close` makes an area of it.
 * @param {number[]} values @param {number} top @param {number} height
 * @param {boolean} [close]
 */
export function path(values, top, height, close = false) {
  let text = '';
  let begin = -1;
  values.forEach((value, x) => {
    if (Number.isNaN(value)) {
      begin = -1;
      return;
    }
    const y = (height - height * Math.min(value / top, 1)).toFixed(2);
    const next = values[x + 1];
    const ends = next === undefined || Number.isNaN(next);
    if (begin < 0) {
      begin = x;
      text += close ? `M${x} ${height}V${y}` : `M${x} ${y}${ends ? 'h.01' : ''}`;
    } else {
      text += `L${x} ${y}`;
    }
    if (close && ends) text += `V${height}H${begin}Z`;
  });
  return text;
}

/** Lines over time, one for each name, with the greatest value written. */
export class LineChart {
  /**
   * @param {HTMLElement} place
   * @param {{names: string[], title: string, base?: number,
   *          text: (value: number) => string}} options
   */
  constructor(place, options) {
    this.options = options;
    this.svg = svg('svg', {preserveAspectRatio: 'none', role: 'img'});
    this.top = element('span', 'top');
    this.from = element('span', 'from');
    this.grid = svg('path', {class: 'grid'});
    this.lines = options.names.map((name) => ({
      area: svg('path', {class: `area ${name}`}),
      line: svg('path', {class: `line ${name}`}),
    }));
    this.svg.append(this.grid);
    for (const {area, line} of this.lines) this.svg.append(area, line);
    place.replaceChildren(this.svg, this.top, this.from,
        element('span', 'to', 'now'));
  }

  /** @param {number[][]} series One for each name. @param {string} span */
  draw(series, span) {
    const HEIGHT = 100;
    const {base = 10, text, title} = this.options;
    const width = series[0].length - 1;
    const most = Math.max(0, ...series.flat().filter((v) => !Number.isNaN(v)));
    const top = ceiling(most, base);
    setAttribute(this.svg, 'viewBox', `0 0 ${width} ${HEIGHT}`);
    setAttribute(this.grid, 'd', `M0 0H${width}M0 ${HEIGHT / 2}H${width}M0 ${HEIGHT}H${width}`);
    setAttribute(this.svg, 'aria-label',
        `${title} of the last ${span}, at most ${text(most)}`);
    setText(this.top, text(top));
    setText(this.from, `${span} ago`);
    series.forEach((values, i) => {
      setAttribute(this.lines[i].area, 'd', path(values, top, HEIGHT, true));
      setAttribute(this.lines[i].line, 'd', path(values, top, HEIGHT));
    });
  }
}

/** A small line without axes. */
export class Sparkline {
  constructor() {
    this.svg = svg('svg', {
      class: 'spark', preserveAspectRatio: 'none', 'aria-hidden': 'true',
    });
    this.line = svg('path', {class: 'line accepts'});
    this.svg.append(this.line);
  }
  /** @param {number[]} values */
  draw(values) {
    const most = Math.max(1, ...values.filter((v) => !Number.isNaN(v)));
    setAttribute(this.svg, 'viewBox', `0 -1 ${values.length - 1} 22`);
    setAttribute(this.line, 'd', path(values, most, 20));
  }
}

/** A bar of parts beside each other, of the classes c0, c1, … */
export class StackedBar {
  constructor(/** @type {number} */ parts) {
    this.svg = svg('svg', {
      class: 'stack', viewBox: '0 0 100 10', preserveAspectRatio: 'none',
      role: 'img',
    });
    this.title = svg('title');
    this.parts = Array.from({length: parts}, (_, i) => svg('rect', {
      class: `c${i}`, y: 0, height: 10, x: 0, width: 0,
    }));
    this.svg.append(this.title, ...this.parts);
  }
  /** @param {number[]} values @param {string} text What they are, in words. */
  draw(values, text) {
    const sum = values.reduce((a, b) => a + b, 0);
    let x = 0;
    values.forEach((value, i) => {
      // What is there at all is seen.
      const width = value > 0 ? Math.max(3, 100 * value / sum) : 0;
      setAttribute(this.parts[i], 'x', Math.min(x, 100 - width).toFixed(2));
      setAttribute(this.parts[i], 'width', width.toFixed(2));
      x += width;
    });
    setText(this.title, text);
    setAttribute(this.svg, 'aria-label', text);
  }
}

/** How full something is. */
export class Meter {
  constructor() {
    this.svg = svg('svg', {
      class: 'meter', viewBox: '0 0 100 4', preserveAspectRatio: 'none',
      'aria-hidden': 'true',
    });
    this.bar = svg('rect', {x: 0, y: 0, height: 4, width: 0});
    this.svg.append(svg('rect', {class: 'rest', width: 100, height: 4}), this.bar);
  }
  /** @param {number} value @param {number} most */
  draw(value, most) {
    const share = most > 0 ? Math.min(1, value / most) : 0;
    setAttribute(this.bar, 'width', (value > 0 ? Math.max(2, 100 * share) : 0).toFixed(1));
    setAttribute(this.bar, 'class',
        share >= 1 ? 'full' : share >= 0.9 ? 'nearly' : 'fine');
  }
}
