// Runs beside the page, where the browser hands sound over: brings it to 16 bits and 16,000 samples a second, in pieces.

const RATE_HZ = 16_000;
/** A quarter of a second. */
const PIECE_LEN = 4_000;

class Pieces extends AudioWorkletProcessor {
  constructor() {
    super();
    this.piece = new Int16Array(PIECE_LEN);
    this.len = 0;
    /** How far the next sample of ours is, in steps of which a sample of theirs has RATE_HZ. */
    this.passed = 0;
    this.sum = 0;
    this.count = 0;
    this.port.onmessage = () => this.give(true);
  }

  /** @param {Float32Array[][]} inputs */
  process([[samples = []]]) {
    for (const sample of samples) {
      this.sum += sample;
      this.count += 1;
      this.passed += RATE_HZ;
      if (this.passed < sampleRate) continue;
      // The mean of what falls into one sample of ours: filter enough for speech.
      const mean = Math.max(-1, Math.min(1, this.sum / this.count));
      for (; this.passed >= sampleRate; this.passed -= sampleRate) this.push(Math.round(mean * 32_767));
      this.sum = this.count = 0;
    }
    return true;
  }

  /** @param {number} sample */
  push(sample) {
    this.piece[this.len] = sample;
    this.len += 1;
    if (this.len === PIECE_LEN) this.give(false);
  }

  /** @param {boolean} isLast */
  give(isLast) {
    this.port.postMessage({ piece: this.piece.slice(0, this.len), isLast });
    this.len = 0;
  }
}

registerProcessor("pieces", Pieces);
