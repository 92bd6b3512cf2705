// What the engine needs of NumPy: an array as a view into a flat buffer, and the matrix product.

class NDArray {
  // data: a Float64Array (or any array); shape: sizes of the dims, at most 4; without strides it lies whole in
  // the buffer. Entry [i, j, k, l] is data[at(i, j, k, l)].
  constructor(data, shape, offset = 0, s0 = -1, s1 = 0, s2 = 0, s3 = 0) {
    this.data = data;
    this.shape = shape;
    this.offset = offset;
    if (s0 < 0) {
      const rank = shape.length;
      s3 = rank > 3 ? 1 : 0;
      s2 = rank > 3 ? shape[3] : rank > 2 ? 1 : 0;
      s1 = rank > 2 ? s2 * shape[2] : rank > 1 ? 1 : 0;
      s0 = rank > 1 ? s1 * shape[1] : 1;
    }
    this.s0 = s0;
    this.s1 = s1;
    this.s2 = s2;
    this.s3 = s3;
  }

  at(i = 0, j = 0, k = 0, l = 0) {
    return this.offset + i * this.s0 + j * this.s1 + k * this.s2 + l * this.s3;
  }

  get size() {
    return this.shape.reduce((product, size) => product * size, 1);
  }

  // bytes of a number: all are float64
  get itemsize() {
    return 8;
  }

  // x[i], x[i, j]: what lies under the first indices, a view
  row(i, j) {
    if (j === undefined) return new NDArray(this.data, this.shape.slice(1), this.at(i), this.s1, this.s2, this.s3);
    return new NDArray(this.data, this.shape.slice(2), this.at(i, j), this.s2, this.s3);
  }

  get T() {
    return new NDArray(this.data, [this.shape[1], this.shape[0]], this.offset, this.s1, this.s0);
  }

  // Of an array that lies whole in its buffer; a transposed one does not.
  reshape(...shape) {
    if (this.shape.length > 1 && this.s0 < this.s1) throw new Error("reshape needs a whole array");
    return new NDArray(this.data, shape, this.offset);
  }

  // all entries, in order: every array that is filled or listed lies whole in its buffer
  fill(value) {
    this.data.fill(value, this.offset, this.offset + this.size);
  }

  values() {
    return this.data.slice(this.offset, this.offset + this.size);
  }
}

function empty(shape) {
  return new NDArray(new Float64Array(shape.reduce((product, size) => product * size, 1)), shape);
}

// a += b of whole arrays
function add_to(a, b) {
  for (let i = 0; i < a.size; i++) a.data[a.offset + i] += b.data[b.offset + i];
}

// out = a b of matrices: (I, N), (N, J) -> (I, J)
function dot(a, b, out = empty([a.shape[0], b.shape[1]])) {
  const I = a.shape[0], N = a.shape[1], J = b.shape[1];
  const x = a.data, y = b.data, z = out.data;
  const across = a.s1, down = b.s0, aside = b.s1;
  for (let i = 0; i < I; i++) {
    for (let j = 0; j < J; j++) {
      let sum = 0, p = a.offset + i * a.s0, q = b.offset + j * aside;
      for (let n = 0; n < N; n++) {
        sum += x[p] * y[q];
        p += across;
        q += down;
      }
      z[out.offset + i * out.s0 + j * out.s1] = sum;
    }
  }
  return out;
}
