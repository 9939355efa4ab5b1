#pragma once

// A decoder spelled out: which tensors a model reads and what it does with them, layer by layer. A plan is the
// result of a family's Architecture (architecture.h) and all that the interpreter (block.h) and the weight loader
// (weights.h) know. Pure data: no LibTorch, no JSON.
//
// Symbols in shapes: E hidden size, H query heads, G KV heads, D head dim, F MLP width, V vocabulary, X experts.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/capture/capture.h"
#include "core/model/rope_scaling.h"

namespace headscope::plan {

/// A tensor of the model's files and the part of it that is used. The parts are taken in this order: the slab, the
/// transposition, the rows of each group, the order of rows.
struct Tensor {
  std::string name;                  ///< empty: there is none
  std::vector<std::int64_t> shape;   ///< as stored; a mismatch is an Error
  std::vector<std::string> stacked;  ///< more tensors of that shape, stacked behind the first along a new first axis
  std::optional<std::int64_t> slab;  ///< index along the slowest axis (one expert of a fused tensor)
  bool transposed = false;           ///< stored [in, out]
  /// Rows [begin, begin + count) of each of `groups` equal groups of rows; count 0: all.
  std::int64_t groups = 1, begin = 0, count = 0;

  /// Rows of each of so many heads are stored as neighbouring pairs (GGUF of the Llama kind): stored row 2i + a of a
  /// head is its row a·D/2 + i. 0: they are in order.
  std::int64_t pairedHeads = 0;
  int slot = -1;  ///< the place of this part among the loaded weights; equal parts share one

  explicit operator bool() const noexcept { return !name.empty(); }
};

/// y = x · weightᵀ + bias
struct Linear {
  Tensor weight;  ///< [out, in] after taking the part
  Tensor bias;    ///< [out] or none
  explicit operator bool() const noexcept { return static_cast<bool>(weight); }
};

struct Norm {
  enum class Kind {
    None,   ///< identity
    Rms,    ///< x / √(mean(x²) + eps)
    Layer,  ///< (x − mean) / √(var + eps)
  };
  Kind kind = Kind::None;
  double eps = 0;
  bool plusOne = false;  ///< the stored weight w acts as 1 + w
  Tensor weight;         ///< none: not scaled
  Tensor bias;

  explicit operator bool() const noexcept { return kind != Kind::None; }
};

enum class QkNorm {
  None,
  Whole,          ///< over the whole projection, before the split into heads (OLMo 2); before any clipping
  Head,           ///< over each head's dims; weights [D] or one set a head [H, D]
  HeadAfterRope,  ///< likewise, after the rotation (HunYuan)
};

struct Attention {
  int heads = 0, kvHeads = 0, headDim = 0;
  Linear q, k, v, o;           ///< k and v empty: see keysFrom, valuesAreKeys
  std::optional<double> clip;  ///< q, k, v are clamped to ±clip
  QkNorm qkNorm = QkNorm::None;
  Norm qNorm, kNorm;
  Norm vNorm;                   ///< over each head's dims (Gemma 4)
  bool valuesAreKeys = false;   ///< v = the raw k projection, before k's norm and RoPE (Gemma 4)
  std::optional<int> keysFrom;  ///< reads k and v of that earlier layer (Gemma 4)
  std::optional<int> rope;      ///< index into Decoder::ropes; none: this layer does not rotate
  std::optional<std::int64_t> window;
  double scale = 1;
  std::optional<double> softcap;
  Tensor sinks;                        ///< [H] or none
  std::optional<double> positionBeta;  ///< Ministral 3: q × (1 + β·ln(1 + ⌊p/original⌋)) after RoPE
  std::int64_t positionOriginal = 1;
};

enum class Activation {
  Silu,
  Gelu,  ///< exact, with erf
  GeluTanh,
  Relu,
  ReluSquared,
  XIelu,          ///< Apertus; learned parameters
  ClampedSwiglu,  ///< gpt-oss: (min(up, c) + 1) · gate·σ(α·gate), both clamped
};

/// xIELU's parameters where a file has them as metadata; the alphas before softplus.
struct XIeluNumbers {
  double alphaP = 0, alphaN = 0, beta = 0, eps = 0;
};

struct Mlp {
  Linear gate;  ///< none: y = down(act(up(x)))
  Linear up, down;
  Activation activation = Activation::Silu;
  Tensor alphaP, alphaN, beta, eps;  ///< XIelu; or
  std::optional<XIeluNumbers> xielu;
  double swigluAlpha = 0, swigluLimit = 0;  ///< ClampedSwiglu

  explicit operator bool() const noexcept { return static_cast<bool>(up); }
};

/// How experts are chosen and weighted.
enum class Routing {
  Softmax,            ///< softmax over all experts, then the k best
  SoftmaxOverChosen,  ///< the k best, then softmax over these
  Sigmoid,            ///< sigmoid; chosen by score + correction within the best groups (GLM-4.5)
};

struct Experts {
  Linear router;
  Routing routing = Routing::Softmax;
  int chosen = 0;
  bool renormalise = false;  ///< the chosen weights are made to sum to 1
  double renormaliseEps = 0;
  double weightScale = 1;
  Tensor correction;  ///< [X], Sigmoid: added for the choice only
  int groups = 1, chosenGroups = 1;
  std::vector<Mlp> experts;
  Mlp shared;         ///< seen by every token
  Linear sharedGate;  ///< × sigmoid of this; none: plain sum
  // Gemma 4: the router reads the layer's raw x through a weightless RMS norm, times a vector; experts have norms.
  Norm routerNorm;
  Tensor routerScale;  ///< [E]
  double routerFactor = 1;
  Tensor expertScale;  ///< [X] factor on the chosen weights
  Norm in, out;        ///< around the experts, where they stand beside a dense MLP

  explicit operator bool() const noexcept { return static_cast<bool>(router); }
};

/// One layer: x += m·attentionOut(attention(attentionIn(x))); x += m·mlpOut(mlp(mlpIn(x))), or in parallel both from
/// the same x, where a missing mlpIn means that the MLP shares attentionIn.
struct Layer {
  Norm attentionIn, attentionOut, mlpIn, mlpOut;
  Attention attention;
  bool parallel = false;
  Mlp mlp;  ///< with experts as well (Gemma 4): mlpOut(denseOut(mlp(mlpIn x)) + experts.out(experts(experts.in x)))
  Norm denseOut;
  Experts experts;
  Linear perLayerGate, perLayerProjection;  ///< Gemma 4's per-layer input, behind the MLP
  Norm perLayerNorm;
  Tensor scalar;  ///< [1] factor on the layer's output
};

/// Gemma 4's second embedding: P numbers a layer for every token.
struct PerLayerInputs {
  int width = 0;      ///< P; 0: none
  Tensor embedding;   ///< [V', L·P]
  Linear projection;  ///< [L·P, E]
  Norm norm;          ///< over P
  Activation activation = Activation::GeluTanh;
};

struct Decoder {
  std::string name;    ///< for people
  std::string family;  ///< model_type
  std::string where;   ///< the configuration's file, for errors
  std::int64_t hidden = 0, vocab = 0, context = 0;
  Tensor embedding;
  double embeddingScale = 1;
  PerLayerInputs perLayerInputs;
  std::vector<RopeParameters> ropes;
  std::vector<Layer> layers;
  double residualScale = 1;
  Norm finalNorm;
  Linear head;  ///< of the embedding's tensor if tied
  bool tied = false;
  double logitScale = 1;
  std::optional<double> finalSoftcap;
  std::vector<std::string> notes;
  std::vector<Tensor> tensors;    ///< all that is read, by slot
  std::vector<int> tensorLayers;  ///< by slot: the layer that reads it first; −1 before, number of layers behind
};

/// What the capture says about a layer's logits.
AttentionSpec attentionSpec(const Attention& attention);

/// Gives every tensor its slot, in the order of first use, and fills `tensors` and `tensorLayers`.
void numberTensors(Decoder& decoder);

}  // namespace headscope::plan
