"""The lessons of the course: which functions are to be written, where their derivation starts, the hints."""

from typing import NamedTuple


class Lesson(NamedTuple):
    """One step of the course."""

    functions: tuple                    # of the engine, to be written anew
    task: str                           # one line
    start: str                          # what is to be computed, and how its derivation begins
    hints: tuple                        # three, each stronger: what kind of thing, where, the formula


LESSONS = {
    "softmax": Lesson(
        ("softmax_forward",), "Turn rows of scores into probabilities.", """\
p[j] = exp(x[j]) / Σ_j' exp(x[j'])          of each row x[n, i] on its own

Scores may be large, and exp(800) is too large for a float64. p does not change if the same number is
subtracted from all scores of a row: which one makes every exponential at most 1?

With causal, row i sees only the columns j <= i. The others get 0 and are in no sum.""", (
            "Each row is a task of its own: its largest visible entry, its exponentials, their sum.",
            "Find the largest of the visible entries before the first exp, and subtract it inside every exp.",
            "With m the largest x[n,i,j'] that is visible: p[n,i,j] = exp(x[n,i,j] - m) / Σ_j' "
            "exp(x[n,i,j'] - m), both over the visible columns: j <= i with causal, else all; 0 "
            "elsewhere.",
        ),
    ),
    "loss": Lesson(
        ("loss_forward",), "Measure how far the predictions are from what came.", """\
L = mean of -log probs[b, t, y]             with y = targets[b, t]

The mean runs over the positions that have a target. A target of -1 means that there is none.
loss is an array without axes: loss[()] = ... writes into it.""", (
            "A sum over batch and time, and a count: not every position takes part.",
            "Leave out the positions with targets[b, t] < 0 in the sum and in what you divide by.",
            "loss[()] = -(1/n) Σ log probs[b, t, targets[b, t]] over the n positions with targets[b, t] "
            ">= 0.",
        ),
    ),
    "loss-back": Lesson(
        ("probs_backward",), "From the loss to the logits: softmax and -log in one step.", """\
L = (1/n) Σ -log p[y]        p = softmax(u)        over the n positions with a target y >= 0

Take one position. As p[y] = exp(u[y]) / Σ_j exp(u[j]),

    -log p[y] = -u[y] + log Σ_j exp(u[j])

Differentiate both terms by u[j]. What is the slope of the logarithm of the sum? It is there already.""",
        (
            "The derivative of log Σ exp(u[j]) by u[j] is p[j]; the other term touches one token only.",
            "Every logit of a position with a target gets its probability, divided by the number of "
            "targets; one logit gets something more; positions without a target get 0.",
            "dlogits[b,t,j] = (probs[b,t,j] - [j = y]) / n, and 0 where targets[b,t] is -1.",
        ),
    ),
    "linear": Lesson(
        ("linear_forward",), "A linear map of every row, with a bias.", """\
y[b,t] = x[b,t] W + bias                    (B, T, N), (N, M), (M,) -> (B, T, M)

The same W and the same bias b at every position of every sequence.""", (
            "All B·T positions can be the rows of one matrix.",
            "One matrix product over the last axis of x, then the bias added to each row.",
            "y[b,t,j] = Σ_n x[b,t,n] W[n,j] + b[j].",
        ),
    ),
    "linear-back": Lesson(
        ("linear_backward",), "The linear map in reverse: to its input, its matrix, its bias.", """\
y = x W + b          where a row of x and of y is one position of one sequence. All three can change:

    δy[i,j] = Σ_n δx[i,n] W[n,j] + Σ_n x[i,n] δW[n,j] + δb[j]

Put it into δL = Σ_ij dy[i,j] δy[i,j] and sort by δx, δW and δb: what stands before each is its gradient.
If N and M differ, the shapes leave little choice.""", (
            "Two matrix products with a transpose in each, and a sum.",
            "W and b are used at every position of every sequence: their gradients collect from all of "
            "them; that of x belongs to one position alone.",
            "dx = dy Wᵀ, dW = xᵀ dy, db = Σ_i dy[i], over the B·T rows.",
        ),
    ),
    "relu": Lesson(
        ("ffn_hidden_forward", "ffn_hidden_backward"),
        "The one bend of the feed-forward layer, both ways.", """\
ffn_hidden = max(ffn_pre, 0)                each number on its own

What is the slope of max(x, 0) above 0, and below? The gradient that comes back is multiplied by it.""", (
            "A gate: it is open or shut, and the gradient passes or not.",
            "Whether it is open was settled in the forward pass: look at ffn_pre, not at the gradient.",
            "dffn_pre = dffn_hidden where ffn_pre > 0, else 0.",
        ),
    ),
    "softmax-back": Lesson(
        ("attention_backward",), "The softmax in reverse: from the weights to the scores.", """\
A[t] = softmax(S[t]), row by row, over the columns s <= t. Take one row p = softmax(s):

    ∂p[i] / ∂s[j] = p[i] ([i = j] - p[j])

so ds[j] = Σ_i dp[i] ∂p[i] / ∂s[j]. Put it in, and take out of the sum what does not depend on i.""", (
            "Raising one score lowers the other weights of its row: each entry is compared with a mean of "
            "its row.",
            "The mean is that of dattention, weighted by attention; the difference is weighted once more.",
            "dscores[t,s] = attention[t,s] (dattention[t,s] - Σ_s' dattention[t,s'] attention[t,s']).",
        ),
    ),
    "scores": Lesson(
        ("scores_forward", "scores_backward"), "What every query says of every key, both ways.", """\
scores[b,h,t,s] = Σ_d q[b,h,t,d] k[b,h,s,d] / √D

No mask yet: the softmax leaves out what lies in the future. In reverse: a change of q and of k gives

    δscores[t,s] = Σ_d (δq[t,d] k[s,d] + q[t,d] δk[s,d]) / √D

Sort Σ_ts dscores[t,s] δscores[t,s] by δq and by δk.""", (
            "Three matrix products a head, of which one has a transpose on the right, one on the left.",
            "dq[t] sums over the keys s, dk[s] over the queries t; the factor 1/√D stands in all three.",
            "scores = q kᵀ / √D, dq = dscores k / √D, dk = dscoresᵀ q / √D, for each b and h.",
        ),
    ),
    "mixture": Lesson(
        ("mixed_forward", "mixed_backward"), "Values averaged by attention, both ways.", """\
mixed[b,h,t] = Σ_s attention[b,h,t,s] v[b,h,s]

In reverse: who reads a value, and how much? And what would it change to read more of it?""", (
            "A matrix product a head, and its two gradients, as in the linear map.",
            "dattention[t,s] compares dmixed[t] with v[s]; dv[s] collects dmixed[t] from every t that "
            "reads s.",
            "mixed = A v, dattention = dmixed vᵀ, dv = Aᵀ dmixed, for each b and h.",
        ),
    ),
    "heads": Lesson(
        ("project_forward", "project_backward"),
        "From the stream to queries, keys, values of every head.", """\
q[b,h] = embed[b] W[:,h]                    (B, T, C), (C, H, D) -> (B, H, T, D)

and so for k and v. A head is a slice of W. In reverse, embed is read by three maps and by the residual
connection: dembed holds what came by other routes before, and yours is to be added to it.""", (
            "For each head a linear map without a bias; the batch is summed over in one of its gradients.",
            "dW[:,h] sums over all sequences and positions; dembed sums over the heads, with += and not =.",
            "q[b,h] = embed[b] W[:,h]; dembed[b] += Σ_h dq[b,h] W[:,h]ᵀ; dW[:,h] = Σ_b embed[b]ᵀ dq[b,h].",
        ),
    ),
    "embedding": Lesson(
        ("embed_backward", "pos_embed_backward", "token_embed_backward"),
        "The end of the way back: to what each token and each position is.", """\
embed[b,t] = token_embed[b,t] + pos_embed[t]        token_embed[b,t] = W_token[tokens[b,t]]
                                                    pos_embed[t] = W_pos[t], t < T <= block_size

A row of pos_embed is used in all B sequences; a row of W_token wherever its token stands. Each use adds
its part to the gradient. What was not used has the gradient 0.""", (
            "Nothing is multiplied here: gradients are copied, and added up where one thing was used many "
            "times.",
            "Set what you collect into to 0 first, then add: over b for pos_embed, over all (b, t) with "
            "the same token for W_token. (W_token[ids] += adds only once for a repeated id.)",
            "dtoken_embed = dembed; dpos_embed[t] = Σ_b dembed[b,t]; dW_pos[t] = dpos_embed[t], 0 from T "
            "on; dW_token[i] = Σ over (b,t) with tokens[b,t] = i of dtoken_embed[b,t].",
        ),
    ),
    "adam": Lesson(
        ("adam_update",), "One update of all parameters.", """\
Each parameter has a running mean m of its gradient g and one, v, of its square:

    m = β1 m + (1 - β1) g               v = β2 v + (1 - β2) g²

Both start at 0 and so are too small at first: after t updates a constant g has m = (1 - β1^t) g. Divide
that out, go by the learning rate against m / (√v + ε), and let every parameter shrink by the learning rate
times the weight decay λ times itself. m and v keep what they are, without that division.

settings is (β1, β2, ε, λ); step is t, from 1 on. theta, m and v are changed in place.""", (
            "Five numbers a parameter: m, v, both corrected, the step. All in place, none needs another "
            "parameter.",
            "Divide m by 1 - β1^t and v by 1 - β2^t before the root; ε is added outside of the root; the "
            "decay acts on theta as it was before this update, and not through the gradient.",
            "θ = θ - lr ( (m / (1 - β1^t)) / (√(v / (1 - β2^t)) + ε) + λ θ ), with the new m and v.",
        ),
    ),
}
