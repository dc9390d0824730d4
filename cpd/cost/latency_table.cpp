#include <cpd/core/error.h>
#include <cpd/cost/latency_table.h>
#include <cpd/plan/format.h>

#include <algorithm>
#include <cmath>

namespace cpd {

// Found by argument-dependent lookup from the reader of lists.
void read_json(const Json& json, const std::string& path, OpLatency& latency);

namespace {

constexpr int kVersion = 1;

void verify_op(const OpLatency& op, const std::string& path) {
  if (op.points.empty()) throw Error("nothing was measured", {.path = path}, "one point or more");
  double work = -1, seconds = 0;
  for (const LatencyPoint& point : op.points) {
    const bool valid =
        std::isfinite(point.seconds) && point.work > work && point.seconds >= seconds;
    if (!valid) {
      throw Error("the points are out of order", {.path = path},
                  "ascending work, and seconds that never fall");
    }
    work = point.work;
    seconds = point.seconds;
  }
}

}  // namespace

double OpLatency::seconds(double work) const {
  const auto above = std::find_if(points.begin(), points.end(),
                                  [&](const LatencyPoint& point) { return point.work >= work; });
  if (above == points.begin()) return above->seconds;
  if (above == points.end()) return points.back().seconds * work / points.back().work;
  const LatencyPoint& low = *(above - 1);
  const double share = (work - low.work) / (above->work - low.work);
  return low.seconds + share * (above->seconds - low.seconds);
}

void LatencyTable::verify() const {
  if (threads < 1) throw Error("no thread", {.path = "threads"}, "1 or more");
  if (batch < 1) throw Error("no sample", {.path = "batch"}, "1 or more");
  for (size_t i = 0; i < ops.size(); ++i) verify_op(ops[i], "ops[" + std::to_string(i) + "]");
}

void LatencyTable::check(const Graph& graph) const {
  const Where where{.path = "ops"};
  if (ops.size() != graph.ops.size()) {
    throw Error("the table has " + std::to_string(ops.size()) + " ops", where,
                std::to_string(graph.ops.size()) + ", those of the network");
  }
  for (size_t i = 0; i < ops.size(); ++i) {
    if (ops[i].op == graph.ops[i].kind) continue;
    throw Error("op " + std::to_string(i) + " of the table is " + ops[i].op, where,
                graph.ops[i].kind + ", as in the network");
  }
}

double op_work(const Op& op, const ShapeOf& shape) {
  const int64_t macs = op_macs(op, shape);
  if (macs > 0) return static_cast<double>(macs);
  int64_t elements = 0;
  for (ValueId value : op.operands()) elements += element_count(shape(value));
  for (ValueId value : op.outputs) elements += element_count(shape(value));
  return static_cast<double>(elements);
}

std::string to_json(const LatencyTable& table) {
  Json json = begin_format("cpd-latency", kVersion);
  json["machine"] = table.machine;
  json["threads"] = table.threads;
  json["batch"] = table.batch;
  json["ops"] = Json::array();
  for (const OpLatency& op : table.ops) {
    Json work = Json::array(), seconds = Json::array();
    for (const LatencyPoint& point : op.points) {
      work.push_back(point.work);
      seconds.push_back(point.seconds);
    }
    json["ops"].push_back({{"op", op.op}, {"work", work}, {"seconds", seconds}});
  }
  return json_text(json);
}

void read_json(const Json& json, const std::string& path, OpLatency& latency) {
  std::vector<double> work, seconds;
  JsonObject(json, path)
      .require("op", latency.op)
      .require("work", work)
      .require("seconds", seconds)
      .finish();
  if (work.size() != seconds.size()) {
    throw Error(std::to_string(seconds.size()) + " values", {.path = key_path(path, "seconds")},
                std::to_string(work.size()) + ", one for each of `work`");
  }
  for (size_t i = 0; i < work.size(); ++i) latency.points.push_back({work[i], seconds[i]});
}

LatencyTable latency_table_from_json(const std::string& text) {
  const Json json = parse_json(text, "latency table");
  LatencyTable table;
  read_format(json, "cpd-latency", kVersion)
      .read("machine", table.machine)
      .require("threads", table.threads)
      .require("batch", table.batch)
      .require("ops", table.ops)
      .finish();
  table.verify();
  return table;
}

}  // namespace cpd
