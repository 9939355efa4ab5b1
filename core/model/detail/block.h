#pragma once

// The steps of a plan on tensors: everything of a decoder layer except the attention product itself. Used by the
// prefill, by decoding and, with autograd, by training. LibTorch header: internal to core/model.
//
// Tensors are [..., E] with any leading axes; norms and softmax are computed in float32 whatever the type.

#include <ATen/core/Tensor.h>

#include "core/model/detail/plan.h"
#include "core/model/detail/rotary.h"
#include "core/model/detail/weights.h"

namespace headscope {

at::Tensor applyLinear(const Weights& weights, const plan::Linear& linear, const at::Tensor& x);
/// Over the last axis, or the last two where the norm's weight has two.
at::Tensor applyNorm(const Weights& weights, const plan::Norm& norm, const at::Tensor& x);
at::Tensor applyMlp(const Weights& weights, const plan::Mlp& mlp, const at::Tensor& x);
/// `x` [tokens, E] feeds the experts; `raw` is what the router reads where it has a norm of its own.
at::Tensor applyExperts(const Weights& weights, const plan::Experts& experts, const at::Tensor& x,
                        const at::Tensor& raw);

struct Projections {
  at::Tensor q;     ///< [..., H, D] before RoPE
  at::Tensor k, v;  ///< [..., G, D]; undefined in a layer that reads those of another one
};
/// `x` after the input norm.
Projections project(const Weights& weights, const plan::Attention& attention, const at::Tensor& x);

/// q and k as the dot product reads them: rotated, and what comes after. `table` null: no RoPE here. `first` is the
/// position of the first token.
at::Tensor queriesForProduct(const Weights& weights, const plan::Attention& attention, const RotaryTable* table,
                             const at::Tensor& q, std::int64_t first);
at::Tensor keysForProduct(const Weights& weights, const plan::Attention& attention, const RotaryTable* table,
                          const at::Tensor& k);

/// The same for one block of the prefill, into `target` [heads, rows, D] of x's type; x [rows, heads, D].
void queriesInto(const Weights& weights, const plan::Attention& attention, const RotaryTable* table,
                 const at::Tensor& q, std::int64_t first, const at::Tensor& target);
void keysInto(const Weights& weights, const plan::Attention& attention, const RotaryTable* table, const at::Tensor& k,
              const at::Tensor& target);

/// The rest of a layer: `x` [..., E] its input, `mixed` [..., H·D] the attention's output before the o projection,
/// `perLayer` [..., P] or undefined. Returns the layer's output; in inference mode `x` is overwritten with it.
at::Tensor finishLayer(const Weights& weights, const plan::Decoder& decoder, const plan::Layer& layer,
                       const at::Tensor& x, const at::Tensor& mixed, const at::Tensor& perLayer);

at::Tensor embed(const Weights& weights, const plan::Decoder& decoder, const at::Tensor& ids);
/// Per-layer inputs [..., L, P] (Gemma 4) of embedded tokens; undefined where the model has none.
at::Tensor perLayerInputs(const Weights& weights, const plan::Decoder& decoder, const at::Tensor& ids,
                          const at::Tensor& embedded);
/// `x` after the final norm → float32 logits [..., V].
at::Tensor headLogits(const Weights& weights, const plan::Decoder& decoder, const at::Tensor& x);
/// The same for the ids firstId … firstId + count − 1 only: [..., count].
at::Tensor headLogits(const Weights& weights, const plan::Decoder& decoder, const at::Tensor& x, std::int64_t firstId,
                      std::int64_t count);

}  // namespace headscope
