#pragma once

// The differentiable forward pass, for training a model from scratch (resources/demo/trainer) with the very code that
// runs it later. LibTorch header: internal, links to LibTorch::LibTorch.
//
//   const plan::Decoder decoder = decoderFromJson(config);               // config.json as text
//   std::map<std::string, at::Tensor> named = randomWeights(decoder, seed, device);
//   for (auto& [name, tensor] : named) tensor.requires_grad_(true);
//   const at::Tensor logits = forwardLogits(decoder, namedWeights(decoder, named), ids);   // [B, T, V] float32
//   cross_entropy(logits.narrow(1, 0, T - 1), …).backward();
//
// `named` has the tensors of a Hugging Face folder under their names and shapes: saving it as safetensors beside
// config.json gives a folder that Model::open reads. namedWeights() (weights.h) takes views, so call it once per step
// if tensors are replaced, or once for all if they are changed in place.

#include <cstdint>
#include <map>
#include <string>

#include <ATen/core/Tensor.h>

#include "core/model/detail/plan.h"
#include "core/model/detail/weights.h"

namespace headscope {

/// The plan of a configuration; `where` names it in errors.
plan::Decoder decoderFromJson(const std::string& text, const std::string& where = "config.json");

/// Initial weights in float32: matrices N(0, 0.02), those that write to the residual stream (o and down)
/// N(0, 0.02/√(2L)), norms 1 (0 where 1 + w counts), biases 0.
std::map<std::string, at::Tensor> randomWeights(const plan::Decoder& decoder, std::uint64_t seed,
                                                const at::Device& device);

/// ids [B, T] int64, all at positions 0 … T − 1 → float32 logits [B, T, V]. Differentiable; weights, ids and result
/// are on one device. `type` of the weights is that of the arithmetic (cast them for bf16 training). Windows and
/// softcaps are refused: sdpa is used without a mask.
at::Tensor forwardLogits(const plan::Decoder& decoder, const Weights& weights, const at::Tensor& ids);

}  // namespace headscope
