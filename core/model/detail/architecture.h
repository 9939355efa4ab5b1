#pragma once

// The declarative description of a family: one struct that a family's file (core/model/families/) fills from the
// configuration. makePlan() spells it out as tensors and steps. ../shared/reference/models.md 1.1–1.3 and 9 hold
// the facts; names of tensors are those of Hugging Face.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/model/detail/plan.h"
#include "core/model/rope_scaling.h"

namespace headscope {

enum class NormForm {
  Rms,
  RmsPlusOne,        ///< × (1 + w)
  Layer,             ///< weight and bias
  LayerPlusOne,      ///< × (1 + w), bias
  LayerWithoutBias,  ///< weight only
  LayerBare,         ///< neither
};

enum class BlockForm {
  Pre,                 ///< a norm before attention and MLP each
  Post,                ///< a norm behind each, none before
  Sandwich,            ///< both
  Parallel,            ///< x + attn(n₁ x) + mlp(n₂ x)
  ParallelSharedNorm,  ///< x + attn(n x) + mlp(n x)
};

enum class QkvLayout {
  Separate,
  Concatenated,  ///< one tensor: all q rows, all k rows, all v rows
  PerHead,       ///< one tensor: q, k, v rows of head 0, then of head 1 … (GPT-NeoX)
};

enum class QkNormForm {
  None,
  Head,            ///< weight [D]
  HeadAfterRope,   ///< weight [D]
  OwnPerHead,      ///< weight [H, D]
  StackedPerHead,  ///< one tensor [D] a head: NAME.norms.{h}.weight (StableLM)
  Whole,           ///< weight [H·D]
};

enum class MlpForm {
  Gated,
  FusedGated,  ///< gate and up in one tensor: all gate rows, then all up rows
  Plain,       ///< up, activation, down
};

enum class ExpertLayout {
  Separate,     ///< one tensor an expert: PREFIX.{e}.gate_proj …
  Fused,        ///< [X, 2F, E] gate rows, then up rows; [X, E, F]
  Interleaved,  ///< gpt-oss: [X, E, 2F] in × out, gate in the even columns; [X, F, E]; with biases
  Stacked,      ///< GGUF: gate [X, F, E], up [X, F, E], down [X, E, F], under the names of gate, up and down +
                ///< stackedSuffix
};

struct Biases {
  bool q = false, k = false, v = false, o = false, mlp = false, head = false;
};

/// Names of tensors without ".weight" and ".bias". Layer names follow layerPrefix + index + ".".
struct TensorNames {
  std::string embedding = "model.embed_tokens";
  std::string layerPrefix = "model.layers.";
  std::string finalNorm = "model.norm";
  std::string head = "lm_head";
  std::string attentionIn = "input_layernorm";
  std::string attentionOut = "post_attention_layernorm";  ///< Post and Sandwich
  std::string mlpIn = "post_attention_layernorm";         ///< Pre and Parallel
  std::string mlpOut = "post_feedforward_layernorm";
  std::string q = "self_attn.q_proj", k = "self_attn.k_proj", v = "self_attn.v_proj", o = "self_attn.o_proj";
  std::string qkv = "self_attn.qkv_proj";
  std::string qNorm = "self_attn.q_norm", kNorm = "self_attn.k_norm";
  std::string sinks = "self_attn.sinks";
  std::string gate = "mlp.gate_proj", up = "mlp.up_proj", down = "mlp.down_proj";
  std::string gateUp = "mlp.gate_up_proj";
};

struct ExpertTraits {
  int count = 0, chosen = 0;
  std::int64_t width = 0;
  ExpertLayout layout = ExpertLayout::Separate;
  plan::Routing routing = plan::Routing::Softmax;
  bool renormalise = false;
  double renormaliseEps = 0;
  double weightScale = 1;
  bool routerBias = false;
  bool stackedBias = false;  ///< Stacked: each with a bias
  std::string correction;    ///< tensor name behind the layer prefix; empty: none
  int groups = 1, chosenGroups = 1;
  std::string router = "mlp.gate";
  std::string prefix = "mlp.experts.";  ///< Separate
  std::string gate = "gate_proj", up = "up_proj", down = "down_proj";
  std::string stackedSuffix = "_exps", sharedSuffix;  ///< behind these names: Stacked; the shared expert
  std::string fusedGateUp = "mlp.experts.gate_up_proj", fusedDown = "mlp.experts.down_proj";
  plan::Activation activation = plan::Activation::Silu;
  double swigluAlpha = 0, swigluLimit = 0;
  std::int64_t sharedWidth = 0;  ///< 0: no shared expert
  std::string shared = "mlp.shared_expert.";
  std::string sharedGate;    ///< empty: ungated
  bool besideDense = false;  ///< Gemma 4
};

struct LayerTraits {
  std::optional<std::int64_t> window;
  std::optional<int> rope;  ///< index into Architecture::ropes
  int headDim = 0, kvHeads = 0;
  std::int64_t mlpWidth = 0;
  bool experts = false;
  bool valuesAreKeys = false;
  std::optional<int> keysFrom;
  std::optional<plan::XIeluNumbers> xielu;  ///< GGUF: not tensors there
};

struct Architecture {
  std::string family;
  std::string where;  ///< the configuration's file
  int layers = 0, heads = 0, kvHeads = 0, headDim = 0;
  std::int64_t hidden = 0, mlpWidth = 0, vocab = 0, context = 0;

  NormForm norm = NormForm::Rms;
  double eps = 1e-6;
  BlockForm block = BlockForm::Pre;

  QkvLayout qkv = QkvLayout::Separate;
  Biases bias;
  std::optional<double> clip;
  QkNormForm qkNorm = QkNormForm::None;
  NormForm qkNormForm = NormForm::Rms;
  bool valueNorm = false;  ///< weightless RMS on v
  double scale = 0;        ///< 0: D^-0.5
  std::optional<double> softcap;
  bool sinks = false;
  bool pairedRows = false;  ///< GGUF: see plan::Tensor::pairedHeads
  std::optional<double> positionBeta;
  std::int64_t positionOriginal = 1;

  MlpForm mlp = MlpForm::Gated;
  plan::Activation activation = plan::Activation::Silu;
  std::optional<ExpertTraits> experts;

  std::vector<RopeParameters> ropes;  ///< usually one
  std::vector<LayerTraits> layer;     ///< [layers]

  double embeddingScale = 1, residualScale = 1, logitScale = 1;
  std::optional<double> finalSoftcap;
  bool tied = false;
  bool layerScalar = false;  ///< Gemma 4
  int perLayerInput = 0;     ///< Gemma 4: P
  std::int64_t perLayerVocab = 0;

  TensorNames names;
  std::vector<std::string> notes;
};

plan::Decoder makePlan(const Architecture& architecture);

}  // namespace headscope
