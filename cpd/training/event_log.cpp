#include <cpd/core/error.h>
#include <cpd/training/event_log.h>

#include <array>
#include <bit>
#include <chrono>
#include <fstream>
#include <string_view>

namespace cpd {
namespace {

/// Numbers of fields in event.proto, summary.proto.
constexpr int kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
constexpr int kSummaryValue = 1, kTag = 1, kSimpleValue = 2;
constexpr int kStatus = 1, kStarted = 1;

/// How a field of a protocol buffer is laid out.
enum class Wire { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

/// The bytes of a number, lowest first.
template <typename Number>
std::string little_endian(Number number) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(number); ++i) {
    bytes += static_cast<char>(static_cast<uint64_t>(number) >> (8 * i) & 0xff);
  }
  return bytes;
}

std::string varint(uint64_t number) {
  std::string bytes;
  for (; number >= 0x80; number >>= 7) bytes += static_cast<char>(number | 0x80);
  return bytes + static_cast<char>(number);
}

std::string field(int number, Wire wire) {
  return varint(static_cast<uint64_t>(number) << 3 | static_cast<uint64_t>(wire));
}

std::string integer_field(int number, int64_t value) {
  return field(number, Wire::kVarint) + varint(static_cast<uint64_t>(value));
}

std::string bytes_field(int number, std::string_view bytes) {
  return field(number, Wire::kBytes) + varint(bytes.size()) + std::string(bytes);
}

std::string double_field(int number, double value) {
  return field(number, Wire::kFixed64) + little_endian(std::bit_cast<uint64_t>(value));
}

std::string float_field(int number, float value) {
  return field(number, Wire::kFixed32) + little_endian(std::bit_cast<uint32_t>(value));
}

/// CRC-32C (Castagnoli), mixed as records want it: a checksum of data with checksums is no good.
uint32_t masked_checksum(std::string_view bytes) {
  static const auto table = [] {
    std::array<uint32_t, 256> entries{};
    for (uint32_t i = 0; i < entries.size(); ++i) {
      uint32_t entry = i;
      for (int bit = 0; bit < 8; ++bit)
        entry = (entry & 1) != 0 ? entry >> 1 ^ 0x82f63b78U : entry >> 1;
      entries[i] = entry;
    }
    return entries;
  }();
  uint32_t sum = ~0U;
  for (const char byte : bytes) sum = table[(sum ^ static_cast<uint8_t>(byte)) & 0xff] ^ sum >> 8;
  sum = ~sum;
  return (sum >> 15 | sum << 17) + 0xa282ead8U;
}

/// Microseconds since 1970.
int64_t now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string event_at(int64_t step) {
  return double_field(kWallTime, static_cast<double>(now()) * 1e-6) + integer_field(kStep, step);
}

}  // namespace

EventLog::EventLog(const std::string& folder, int64_t step)
    : path_(folder + "/events.out.tfevents." + std::to_string(now()) + ".cpd") {
  append(event_at(0) + bytes_field(kFileVersion, "brain.Event:2"));
  if (step == 0) return;
  append(event_at(step + 1) + bytes_field(kSessionLog, integer_field(kStatus, kStarted)));
}

void EventLog::write(const Json& line) {
  std::string summary;
  for (const auto& [key, value] : line.items()) {
    if (key == "step" || !value.is_number()) continue;
    summary += bytes_field(kSummaryValue,
                           bytes_field(kTag, key) + float_field(kSimpleValue, value.get<float>()));
  }
  append(event_at(line.at("step").get<int64_t>()) + bytes_field(kSummary, summary));
}

void EventLog::append(const std::string& event) {
  const std::string length = little_endian(static_cast<uint64_t>(event.size()));
  std::ofstream file(path_, std::ios::app | std::ios::binary);
  file << length << little_endian(masked_checksum(length)) << event
       << little_endian(masked_checksum(event)) << std::flush;
  if (!file) throw Error("the events cannot be written", {.path = path_});
}

}  // namespace cpd
