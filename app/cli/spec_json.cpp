#include "app/cli/spec_json.h"

namespace headscope::cli {
namespace {

template <typename Number>
OrderedJson orNull(const std::optional<Number>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson stepJson(const PostRopeStep& step) {
  OrderedJson json;
  if (step.kind == PostRopeStep::Kind::PositionScale) {
    json["op"] = "position_scale";
    json["beta"] = step.beta;
    json["original"] = step.original;
  } else {
    json["op"] = "rms_norm";
    json["eps"] = step.eps;
  }
  return json;
}

}  // namespace

OrderedJson attentionJson(const std::vector<AttentionSpec>& layers) {
  OrderedJson list = OrderedJson::array();
  for (const AttentionSpec& layer : layers) {
    OrderedJson json;
    json["scale"] = layer.scale;
    json["window"] = orNull(layer.window);
    json["softcap"] = orNull(layer.softcap);
    json["rope"] = orNull(layer.rope);
    for (const PostRopeStep& step : layer.postRope) {
      json["post_rope"].push_back(stepJson(step));
    }
    list.push_back(std::move(json));
  }
  return list;
}

OrderedJson ropesJson(const std::vector<Rope>& ropes) {
  OrderedJson list = OrderedJson::array();
  for (const Rope& rope : ropes) {
    OrderedJson json;
    json["pairing"] = rope.pairing == RopePairing::Half ? "half" : "interleaved";
    json["inv_freq"] = rope.invFreq;
    json["attention_scaling"] = rope.attentionScaling;
    json["rotary_dims"] = rope.rotaryDims;
    json["base"] = rope.base;
    list.push_back(std::move(json));
  }
  return list;
}

}  // namespace headscope::cli
