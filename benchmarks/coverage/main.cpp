// Takes every network of a folder through import, combing, pruning and export, each in a process of
// its own, and writes one table: `coverage FOLDER [--filter PATTERN]... [--markdown FILE]
// [--json FILE] [--resume]`.
#include <cpd/core/error.h>
#include <cpd/core/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/program_options.hpp>
#include <filesystem>
#include <iostream>
#include <map>

#include "examine.h"
#include "table.h"

namespace cpd::coverage {
namespace {

namespace po = boost::program_options;

std::string read_all(int from) {
  std::string text;
  char buffer[4096];
  for (ssize_t count; (count = read(from, buffer, sizeof(buffer))) > 0;) {
    text.append(buffer, static_cast<size_t>(count));
  }
  return text;
}

/// A folder that goes with the run.
class ScratchFolder {
 public:
  ScratchFolder()
      : path_(std::filesystem::temp_directory_path() / ("coverage-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(path_);
  }
  ~ScratchFolder() { std::filesystem::remove_all(path_); }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

[[noreturn]] void examine_and_leave(const Fixture& fixture, const std::string& folder, int to,
                                    int limit) {
  alarm(static_cast<unsigned>(limit));
  const std::string text = examine(fixture, folder).dump();
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = write(to, text.data() + written, text.size() - written);
    if (count <= 0) _exit(1);
    written += static_cast<size_t>(count);
  }
  _exit(0);
}

/// One network in a process of its own: a crash is a verdict, and peaks of memory are its own.
Json examined(const Fixture& fixture, const std::string& folder, int limit) {
  int ends[2];
  if (pipe(ends) != 0) throw Error("no pipe can be made");
  const pid_t child = fork();
  if (child < 0) throw Error("no process can be made");
  if (child == 0) {
    close(ends[0]);
    examine_and_leave(fixture, folder, ends[1], limit);
  }
  close(ends[1]);
  const std::string text = read_all(ends[0]);
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return parse_json(text, fixture.name);
  const std::string end = WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                                              : "status " + std::to_string(WEXITSTATUS(status));
  return {{"name", fixture.name}, {"verdict", "ended with " + end}};
}

void write_tables(const po::variables_map& given, const Json& rows) {
  if (given.count("markdown") > 0) {
    write_file(given["markdown"].as<std::string>(), markdown(rows));
  }
  if (given.count("json") > 0) write_file(given["json"].as<std::string>(), json_text(rows));
}

/// Rows of an earlier run that need not be made again, by name.
std::map<std::string, Json> earlier_rows(const po::variables_map& given) {
  std::map<std::string, Json> rows;
  if (!given["resume"].as<bool>()) return rows;
  if (given.count("json") == 0) throw Error("--resume needs the --json of the run to go on with");
  const std::string file = given["json"].as<std::string>();
  if (!std::filesystem::exists(file)) return rows;
  for (const Json& row : read_json_file(file)) {
    if (row["verdict"] == "exact") rows[row["name"].get<std::string>()] = row;
  }
  return rows;
}

/// In the order of the folder, whatever was asked for this time.
Json in_order(const std::vector<Fixture>& all, const std::map<std::string, Json>& rows) {
  Json ordered = Json::array();
  for (const auto& fixture : all) {
    if (const auto row = rows.find(fixture.name); row != rows.end()) ordered.push_back(row->second);
  }
  return ordered;
}

int run(const po::variables_map& given) {
  const auto folder = given["folder"].as<std::string>();
  const auto fixtures = read_fixtures(folder, given["filter"].as<std::vector<std::string>>());
  const auto all = read_fixtures(folder, {});
  const ScratchFolder scratch;
  auto rows = earlier_rows(given);
  bool all_exact = true;
  for (const auto& fixture : fixtures) {
    if (rows.count(fixture.name) > 0) continue;
    const Json row = examined(fixture, scratch.path(), given["limit"].as<int>());
    std::cout << line(row) << std::endl;
    all_exact = all_exact && row["verdict"] == "exact";
    rows[fixture.name] = row;
    write_tables(given, in_order(all, rows));
  }
  write_tables(given, in_order(all, rows));
  return all_exact ? 0 : 1;
}

po::variables_map parsed(int argc, const char* const* argv) {
  po::options_description options("coverage FOLDER [options]");
  options.add_options()("folder", po::value<std::string>()->required(), "made by make_fixtures.py")(
      "filter", po::value<std::vector<std::string>>()->multitoken()->default_value({}, "all"),
      "names of files, with *")("markdown", po::value<std::string>(), "file for the table")(
      "json", po::value<std::string>(), "file for all figures")(
      "resume", po::bool_switch(), "keep the rows of --json that are exact")(
      "limit", po::value<int>()->default_value(1800), "seconds for one network");
  po::positional_options_description positional;
  positional.add("folder", 1);
  po::variables_map given;
  po::store(po::command_line_parser(argc, argv).options(options).positional(positional).run(),
            given);
  po::notify(given);
  return given;
}

}  // namespace
}  // namespace cpd::coverage

int main(int argc, char** argv) {
  try {
    return cpd::coverage::run(cpd::coverage::parsed(argc, argv));
  } catch (const std::exception& error) {
    std::cerr << "coverage: " << error.what() << "\n";
    return 1;
  }
}
