// Random numbers with a seed (sfc32), and a queue of given ones, for checks against other programs.

export class Generator {
  constructor(seed) {
    this.state = [0x9e3779b9, 0x243f6a88, seed >>> 0, 1];
    this.spare = null;
    for (let i = 0; i < 16; i++) this.bits();
  }

  bits() {
    let [a, b, c, d] = this.state;
    const t = (a + b + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + t;
    this.state = [a, b, c | 0, d];
    return t >>> 0;
  }

  // In the open interval (0, 1), so that logarithms of it are finite.
  uniform() {
    return ((this.bits() >>> 5) * 67108864 + (this.bits() >>> 6) + 0.5) / 9007199254740992;
  }

  normal() {
    if (this.spare !== null) {
      const value = this.spare;
      this.spare = null;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

// Keeps what another generator gives, to give it again.
export class Recorded {
  constructor(source) {
    this.source = source;
    this.values = [];
    this.at = 0;
  }

  next(kind) {
    if (this.at === this.values.length) {
      if (!this.source) throw new Error("the given random numbers are used up");
      this.values.push(this.source[kind]());
    }
    return this.values[this.at++];
  }

  uniform() {
    return this.next("uniform");
  }

  normal() {
    return this.next("normal");
  }

  rewind() {
    this.at = 0;
    return this;
  }
}

export function given(values) {
  const recorded = new Recorded(null);
  recorded.values = [...values];
  return recorded;
}
