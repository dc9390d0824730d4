#include <cpd/core/file.h>
#include <cpd/training/event_log.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "fixture.h"

namespace cpd::testing {
namespace {

using ::testing::HasSubstr;

/// CRC-32C of bytes, bit by bit, as record files have it.
uint32_t checksum(const std::string& bytes) {
  uint32_t sum = 0xffffffffU;
  for (const char byte : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const bool odd = ((sum ^ (static_cast<uint8_t>(byte) >> bit)) & 1) != 0;
      sum = (sum >> 1) ^ (odd ? 0x82f63b78U : 0);
    }
  }
  sum ^= 0xffffffffU;
  return ((sum >> 15) | (sum << 17)) + 0xa282ead8U;
}

template <typename Number>
Number number_at(const std::string& bytes, size_t place) {
  Number number;
  std::memcpy(&number, bytes.data() + place, sizeof number);
  return number;
}

/// What a file of records frames; a frame that is wrong fails the test.
std::vector<std::string> records_in(const std::string& bytes) {
  std::vector<std::string> records;
  for (size_t place = 0; place < bytes.size();) {
    const auto size = number_at<uint64_t>(bytes, place);
    EXPECT_EQ(number_at<uint32_t>(bytes, place + 8), checksum(bytes.substr(place, 8)));
    records.push_back(bytes.substr(place + 12, size));
    EXPECT_EQ(records.back().size(), size);
    EXPECT_EQ(number_at<uint32_t>(bytes, place + 12 + size), checksum(records.back()));
    place += 16 + size;
  }
  return records;
}

/// The files of a folder, whose names tell their order.
std::vector<std::string> event_files(const Folder& folder) {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().filename().string().starts_with("events.out.tfevents.")) {
      paths.push_back(entry.path().string());
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

/// An event after its time, which is 9 bytes of its own.
std::string content(const std::string& event) {
  EXPECT_EQ(event.substr(0, 1), "\x09");
  EXPECT_GT(number_at<double>(event, 1), 1.7e9);
  return event.substr(9);
}

TEST(EventLog, ChecksumIsThatOfThePublishedExample) {
  // CRC-32C of "123456789" is 0xe3069283 (RFC 3720 has the polynomial).
  const uint32_t published = 0xe3069283U;
  EXPECT_EQ(checksum("123456789"), ((published >> 15) | (published << 17)) + 0xa282ead8U);
}

TEST(EventLog, EachNumberIsAPoint) {
  const Folder folder;
  EventLog log(folder.path(), 0);
  log.write({{"step", 300}, {"loss", 0.5}, {"name", "text"}, {"list", {1, 2}}});
  const auto files = event_files(folder);
  ASSERT_EQ(files.size(), 1U);
  const auto events = records_in(read_file(files[0]));
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(content(events[0]), std::string("\x10\x00\x1a\x0d", 4) + "brain.Event:2");
  // Step 300 is 0xac 0x02; a summary of 13 bytes with one value of 11: tag "loss", 0.5f.
  const std::string value = "\x0a\x04loss\x15" + std::string("\x00\x00\x00\x3f", 4);
  EXPECT_EQ(content(events[1]), "\x10\xac\x02\x2a\x0d\x0a\x0b" + value);
}

TEST(EventLog, AResumedRunTakesBackWhatItRepeats) {
  const Folder folder;
  EventLog(folder.path(), 0);
  EventLog(folder.path(), 20);
  const auto files = event_files(folder);
  ASSERT_EQ(files.size(), 2U);
  const auto events = records_in(read_file(files[1]));
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(content(events[1]), "\x10\x15\x3a\x02\x08\x01");  // step 21, session log: started
}

TEST(EventLog, FolderThatIsNotThereIsNamed) {
  EXPECT_THAT(message_of([] { EventLog("/nowhere/at/all", 0); }), HasSubstr("/nowhere/at/all"));
}

}  // namespace
}  // namespace cpd::testing
