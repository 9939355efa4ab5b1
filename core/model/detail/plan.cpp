#include "core/model/detail/plan.h"

#include <unordered_map>

#include "core/base/error.h"

namespace headscope::plan {
namespace {

std::string partKey(const Tensor& tensor) {
  return concat(tensor.name, "|", tensor.slab.value_or(-1), "|", tensor.groups, "|", tensor.begin, "|", tensor.count);
}

class Numbering {
 public:
  void visit(Tensor& tensor) {
    if (tensor) {
      const auto [found, isNew] = slots_.emplace(partKey(tensor), static_cast<int>(tensors_.size()));
      tensor.slot = found->second;
      if (isNew) {
        tensors_.push_back(tensor);
        layers_.push_back(layer_);
      }
    }
  }

  void visit(Linear& linear) {
    visit(linear.weight);
    visit(linear.bias);
  }

  void visit(Norm& norm) {
    visit(norm.weight);
    visit(norm.bias);
  }

  void visit(Attention& attention) {
    visitAll(attention.q, attention.k, attention.v, attention.o);
    visitAll(attention.qNorm, attention.kNorm, attention.sinks);
  }

  void visit(Mlp& mlp) { visitAll(mlp.gate, mlp.up, mlp.down, mlp.alphaP, mlp.alphaN, mlp.beta, mlp.eps); }

  void visit(Experts& experts) {
    visitAll(experts.router, experts.correction, experts.routerScale, experts.expertScale);
    for (Mlp& expert : experts.experts) {
      visit(expert);
    }
    visitAll(experts.shared, experts.sharedGate, experts.in, experts.out);
  }

  void visit(Layer& layer) {
    visitAll(layer.attentionIn, layer.attention, layer.attentionOut);
    visitAll(layer.mlpIn, layer.mlp, layer.denseOut, layer.experts, layer.mlpOut);
    visitAll(layer.perLayerGate, layer.perLayerProjection, layer.perLayerNorm, layer.scalar);
  }

  template <typename... Parts>
  void visitAll(Parts&... parts) {
    (visit(parts), ...);
  }

  /// What comes next belongs to that layer.
  void enter(int layer) { layer_ = layer; }

  void give(Decoder& decoder) {
    decoder.tensors = std::move(tensors_);
    decoder.tensorLayers = std::move(layers_);
  }

 private:
  int layer_ = -1;
  std::vector<int> layers_;
  std::unordered_map<std::string, int> slots_;
  std::vector<Tensor> tensors_;
};

}  // namespace

AttentionSpec attentionSpec(const Attention& attention) {
  AttentionSpec spec;
  spec.scale = attention.scale;
  spec.window = attention.window;
  spec.softcap = attention.softcap;
  spec.rope = attention.rope;
  if (attention.positionBeta) {
    PostRopeStep step;
    step.kind = PostRopeStep::Kind::PositionScale;
    step.beta = *attention.positionBeta;
    step.original = attention.positionOriginal;
    spec.postRope.push_back(step);
  }
  return spec;
}

void numberTensors(Decoder& decoder) {
  Numbering numbering;
  numbering.visit(decoder.embedding);
  PerLayerInputs& extra = decoder.perLayerInputs;
  numbering.visitAll(extra.embedding, extra.projection, extra.norm);
  int index = 0;
  for (Layer& layer : decoder.layers) {
    numbering.enter(index++);
    numbering.visit(layer);
  }
  numbering.enter(index);
  numbering.visitAll(decoder.finalNorm, decoder.head);
  numbering.give(decoder);
}

}  // namespace headscope::plan
