/* The training step of scratchformer as one hand-fused C program: what the machine could do.

One head as wide as the embedding (so no W_o), residual connections on. The sizes are constants of the
compilation: cc -DREAL=float -DB=8 -DT=8 -DC=16 -DF=64 -DV=12; B must be a multiple of 8.

Every activation is stored feature first, batch last: x[feature][t][b]. So the vector lanes run over
positions, or over sequences, however narrow the model is; attention needs no shuffles, and skips the
future altogether; exp and log run down one contiguous array (libmvec). Matrix products keep a
block of up to 4 x 4 vectors of results in registers. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define WIDTH 64
#elif defined(__AVX__)
#define WIDTH 32
#else
#define WIDTH 16
#endif

#define N (B * T)                               /* positions of a batch */
#define PAIRS (T * (T + 1) / 2)                 /* (t, s) with s <= t */
#define LANES (WIDTH / (int)sizeof(REAL))       /* of a vector of positions */
#define ROW (N + LANES)                         /* padded, so that rows fall on different cache lines */
#define EXP(x) (sizeof(REAL) == 8 ? exp(x) : expf(x))
#define LOG(x) (sizeof(REAL) == 8 ? log(x) : logf(x))
#define SQRT(x) (sizeof(REAL) == 8 ? sqrt(x) : sqrtf(x))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define INLINE static inline __attribute__((always_inline))
#define ALIGNED static __attribute__((aligned(64)))
#define UNROLL _Pragma("GCC unroll 8")

typedef REAL vec __attribute__((vector_size(WIDTH), may_alias));
typedef REAL octet __attribute__((vector_size(8 * sizeof(REAL)), may_alias));     /* 8 sequences */

_Static_assert(B % 8 == 0 && N % (4 * LANES) == 0, "the batch must fill the vectors");
_Static_assert(C % 2 == 0 && F % 2 == 0 && V % 2 == 0, "matrix products go in blocks of 2 or 4 rows");

/* The parameters in the order of the vector theta; a gradient lies in it the same way. */
typedef struct {
    REAL W_token[V][C], W_pos[T][C], W_q[C][C], W_k[C][C], W_v[C][C];
    REAL W_in[C][F], b_in[F], W_out[F][C], b_out[C], W_unembed[C][V], b_unembed[V];
} Params;

enum { P = sizeof(Params) / sizeof(REAL) };

ALIGNED int32_t tokens[N], targets[N];
ALIGNED REAL embed[C][ROW], q[C][ROW], k[C][ROW], v[C][ROW];
ALIGNED REAL resid_mid[C][ROW], hidden[F][ROW], resid_post[C][ROW];
ALIGNED REAL probs[V][ROW], chosen[N], onehot[V][ROW];
ALIGNED REAL attention[PAIRS][B], dscores[PAIRS][B];
ALIGNED REAL dresid[C][ROW], dq[C][ROW], dk[C][ROW], dv[C][ROW], dpre[F][ROW], dlogits[V][ROW];
ALIGNED REAL dtheta[P];

#define AT(type, x) (*(type *)&(x))

/* y[i] = start[i] + bias[i] + sum_j a(i, j) x[j], over the N positions; a(i, j) = a[i*ai + j*aj].

start and bias may be NULL. With relu, negative results become 0; with mask, results become 0 where
the mask is 0. */
INLINE void multiply(
    int rows, int terms, const REAL *a, int ai, int aj, REAL x[][ROW], const REAL *bias,
    REAL start[][ROW], REAL mask[][ROW], int relu, REAL y[][ROW])
{
    const int R = rows % 4 ? 2 : 4;
    for (int n = 0; n < N; n += 4 * LANES)
        for (int i = 0; i < rows; i += R) {
            vec sum[4][4];
            UNROLL for (int r = 0; r < R; r++)
                UNROLL for (int u = 0; u < 4; u++) {
                    sum[r][u] = start ? AT(vec, start[i + r][n + u * LANES]) : (vec){0};
                    if (bias) sum[r][u] += bias[i + r];
                }
            for (int j = 0; j < terms; j++)
                UNROLL for (int u = 0; u < 4; u++) {
                    vec column = AT(vec, x[j][n + u * LANES]);
                    UNROLL for (int r = 0; r < R; r++) sum[r][u] += a[(i + r) * ai + j * aj] * column;
                }
            UNROLL for (int r = 0; r < R; r++)
                UNROLL for (int u = 0; u < 4; u++) {
                    vec result = sum[r][u];
                    vec gate = mask ? AT(vec, mask[i + r][n + u * LANES]) : result;
                    if (mask || relu) result = (vec)((__typeof__(result > 0))result & (gate > 0));
                    AT(vec, y[i + r][n + u * LANES]) = result;
                }
        }
}

INLINE REAL total(vec x)
{
    REAL lanes[LANES], sum = 0;
    memcpy(lanes, &x, sizeof x);
    for (int l = 0; l < LANES; l++) sum += lanes[l];
    return sum;
}

/* dW[i][j] = sum over positions of x[i] dy[j]; db[j] = sum of dy[j], unless db is NULL. */
INLINE void gradient(int rows, int columns, REAL x[][ROW], REAL dy[][ROW], REAL *dW, REAL *db)
{
    const int R = rows % 4 ? 2 : 4, S = columns % 4 ? 2 : 4;
    for (int i = 0; i < rows; i += R)
        for (int j = 0; j < columns; j += S) {
            vec sum[4][4] = {0};
            for (int n = 0; n < N; n += LANES)
                UNROLL for (int s = 0; s < S; s++) {
                    vec d = AT(vec, dy[j + s][n]);
                    UNROLL for (int r = 0; r < R; r++) sum[r][s] += AT(vec, x[i + r][n]) * d;
                }
            UNROLL for (int r = 0; r < R; r++)
                UNROLL for (int s = 0; s < S; s++) dW[(i + r) * columns + j + s] = total(sum[r][s]);
        }
    for (int j = 0; db && j < columns; j++) {
        vec sum = {0};
        for (int n = 0; n < N; n += LANES) sum += AT(vec, dy[j][n]);
        db[j] = total(sum);
    }
}

/* attention = softmax(q k / sqrt(C)) over s <= t; resid_mid = embed + attention v. */
INLINE void attend(void)
{
    const REAL scale = 1 / sqrt(C);
    for (int b = 0; b < B; b += 8)
        for (int t = 0, row = 0; t < T; row += ++t) {
            octet largest = {0};
            for (int s = 0; s <= t; s++) {
                octet score = {0};
                for (int c = 0; c < C; c++) score += AT(octet, q[c][t * B + b]) * AT(octet, k[c][s * B + b]);
                score *= scale;
                AT(octet, attention[row + s][b]) = score;
                __typeof__(score > 0) above = (score > largest) | (s == 0 ? -1 : 0);
                largest = (octet)((above & (__typeof__(above))score) | (~above & (__typeof__(above))largest));
            }
            for (int s = 0; s <= t; s++) AT(octet, attention[row + s][b]) -= largest;
        }
    REAL *all = (REAL *)attention;
    for (int i = 0; i < PAIRS * B; i++) all[i] = EXP(all[i]);
    for (int b = 0; b < B; b += 8)
        for (int t = 0, row = 0; t < T; row += ++t) {
            octet sum = {0};
            for (int s = 0; s <= t; s++) sum += AT(octet, attention[row + s][b]);
            sum = 1 / sum;
            for (int s = 0; s <= t; s++) AT(octet, attention[row + s][b]) *= sum;
            for (int c = 0; c < C; c++) {
                octet mixed = AT(octet, embed[c][t * B + b]);
                for (int s = 0; s <= t; s++)
                    mixed += AT(octet, attention[row + s][b]) * AT(octet, v[c][s * B + b]);
                AT(octet, resid_mid[c][t * B + b]) = mixed;
            }
        }
}

/* dq, dk, dv from dresid, the gradient of what attention adds to the stream. */
INLINE void attend_backward(void)
{
    const REAL scale = 1 / sqrt(C);
    for (int b = 0; b < B; b += 8) {
        for (int t = 0, row = 0; t < T; row += ++t) {
            octet mean = {0};
            for (int s = 0; s <= t; s++) {
                octet da = {0};
                for (int c = 0; c < C; c++)
                    da += AT(octet, dresid[c][t * B + b]) * AT(octet, v[c][s * B + b]);
                mean += da * AT(octet, attention[row + s][b]);
                AT(octet, dscores[row + s][b]) = da;
            }
            for (int s = 0; s <= t; s++) {
                octet *ds = &AT(octet, dscores[row + s][b]);
                *ds = AT(octet, attention[row + s][b]) * (*ds - mean) * scale;
            }
            for (int c = 0; c < C; c++) {
                octet sum = {0};
                for (int s = 0; s <= t; s++)
                    sum += AT(octet, dscores[row + s][b]) * AT(octet, k[c][s * B + b]);
                AT(octet, dq[c][t * B + b]) = sum;
            }
        }
        for (int s = 0; s < T; s++)
            for (int c = 0; c < C; c++) {
                octet key = {0}, value = {0};
                for (int t = s, pair = s * (s + 3) / 2; t < T; pair += ++t) {
                    key += AT(octet, dscores[pair][b]) * AT(octet, q[c][t * B + b]);
                    value += AT(octet, attention[pair][b]) * AT(octet, dresid[c][t * B + b]);
                }
                AT(octet, dk[c][s * B + b]) = key;
                AT(octet, dv[c][s * B + b]) = value;
            }
    }
}

/* probs = softmax(logits), which are in probs; dlogits = (probs - onehot(targets)) / N -> loss. */
INLINE double score(void)
{
    REAL largest[N], sum[N], loss = 0;
    memcpy(largest, probs[0], sizeof largest);
    for (int j = 1; j < V; j++)
        for (int n = 0; n < N; n++) largest[n] = MAX(largest[n], probs[j][n]);
    for (int j = 0; j < V; j++)
        for (int n = 0; n < N; n++) probs[j][n] = EXP(probs[j][n] - largest[n]);
    memset(sum, 0, sizeof sum);
    for (int j = 0; j < V; j++)
        for (int n = 0; n < N; n++) sum[n] += probs[j][n];
    for (int n = 0; n < N; n++) sum[n] = 1 / sum[n];
    for (int j = 0; j < V; j++)
        for (int n = 0; n < N; n++) {
            probs[j][n] *= sum[n];
            dlogits[j][n] = probs[j][n] / N;
        }
    for (int n = 0; n < N; n++) {
        chosen[n] = probs[targets[n]][n];
        dlogits[targets[n]][n] -= (REAL)1 / N;
    }
    for (int n = 0; n < N; n++) loss -= LOG(chosen[n]);
    return loss / N;
}

/* `steps` training steps; windows: (., T+1) ids; batches: (steps, B) rows of windows; step: how many
updates came before; losses: (steps,) out. */
void train_steps(
    REAL *restrict theta, REAL *restrict moment1, REAL *restrict moment2, const int64_t *windows,
    const int64_t *batches, int64_t steps, int64_t step, double learning_rate, double beta1, double beta2,
    double epsilon, double weight_decay, double *losses)
{
    const Params *p = (const Params *)theta;
    Params *d = (Params *)dtheta;
    double power1 = pow(beta1, step), power2 = pow(beta2, step);
    for (int64_t i = 0; i < steps; i++) {
        memset(onehot, 0, sizeof onehot);
        for (int b = 0; b < B; b++) {
            const int64_t *window = windows + batches[i * B + b] * (T + 1);
            for (int t = 0; t < T; t++) {
                tokens[t * B + b] = window[t];
                targets[t * B + b] = window[t + 1];
                onehot[window[t]][t * B + b] = 1;
            }
        }
        for (int c = 0; c < C; c++)
            for (int n = 0; n < N; n++) embed[c][n] = p->W_token[tokens[n]][c] + p->W_pos[n / B][c];
        multiply(C, C, p->W_q[0], 1, C, embed, NULL, NULL, NULL, 0, q);
        multiply(C, C, p->W_k[0], 1, C, embed, NULL, NULL, NULL, 0, k);
        multiply(C, C, p->W_v[0], 1, C, embed, NULL, NULL, NULL, 0, v);
        attend();
        multiply(F, C, p->W_in[0], 1, F, resid_mid, p->b_in, NULL, NULL, 1, hidden);
        multiply(C, F, p->W_out[0], 1, C, hidden, p->b_out, resid_mid, NULL, 0, resid_post);
        multiply(V, C, p->W_unembed[0], 1, V, resid_post, p->b_unembed, NULL, NULL, 0, probs);
        losses[i] = score();

        gradient(C, V, resid_post, dlogits, d->W_unembed[0], d->b_unembed);
        multiply(C, V, p->W_unembed[0], V, 1, dlogits, NULL, NULL, NULL, 0, dresid);
        gradient(F, C, hidden, dresid, d->W_out[0], d->b_out);
        multiply(F, C, p->W_out[0], C, 1, dresid, NULL, NULL, hidden, 0, dpre);
        gradient(C, F, resid_mid, dpre, d->W_in[0], d->b_in);
        multiply(C, F, p->W_in[0], F, 1, dpre, NULL, dresid, NULL, 0, dresid);
        attend_backward();
        gradient(C, C, embed, dq, d->W_q[0], NULL);
        gradient(C, C, embed, dk, d->W_k[0], NULL);
        gradient(C, C, embed, dv, d->W_v[0], NULL);
        multiply(C, C, p->W_q[0], C, 1, dq, NULL, dresid, NULL, 0, dresid);
        multiply(C, C, p->W_k[0], C, 1, dk, NULL, dresid, NULL, 0, dresid);
        multiply(C, C, p->W_v[0], C, 1, dv, NULL, dresid, NULL, 0, dresid);
        gradient(V, C, onehot, dresid, d->W_token[0], NULL);
        for (int t = 0; t < T; t++)
            for (int c = 0; c < C; c++) {
                REAL sum = 0;
                for (int b = 0; b < B; b++) sum += dresid[c][t * B + b];
                d->W_pos[t][c] = sum;
            }

        power1 *= beta1;
        power2 *= beta2;
        const REAL b1 = beta1, b2 = beta2, lr = learning_rate, decay = weight_decay, eps = epsilon;
        const REAL correction1 = 1 / (1 - power1), correction2 = 1 / (1 - power2);
        for (int j = 0; j < P; j++) {
            REAL g = dtheta[j];
            REAL m = moment1[j] = b1 * moment1[j] + (1 - b1) * g;
            REAL w = moment2[j] = b2 * moment2[j] + (1 - b2) * g * g;
            theta[j] -= lr * (m * correction1 / (SQRT(w * correction2) + eps) + decay * theta[j]);
        }
    }
}
