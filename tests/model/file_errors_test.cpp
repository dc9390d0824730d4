#include <caffe2/serialize/inline_container.h>
#include <cpd/core/error.h>
#include <gmock/gmock.h>
#include <support/network.h>
#include <torch/script.h>

#include <filesystem>
#include <fstream>

namespace cpd::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class File : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) / "cpd_model_files";
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  /// A network that is saved, with debug records.
  std::string saved(const Network& network, const std::string& name) const {
    make_module(network, 1)->save(path(name));
    return path(name);
  }

  static std::string error_of(const std::string& path, const std::vector<InputSpec>& inputs) {
    try {
      load_model(path, inputs);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  static std::string error_of(const std::string& path) {
    return error_of(path, {input({2, 4}, DType::kFloat64)});
  }

  std::filesystem::path folder_;
};

Network words() {
  Network network;
  network.weights = {{"table", {50, 6}}, {"kinds", {3, 6}}, {"head", {5, 6}}};
  network.source =
      "def forward(self, tokens, kinds):\n"
      "    y = torch.embedding(self.table, tokens.view([-1, 4]))\n"
      "    y = y + torch.embedding(self.kinds, kinds.to(4))\n"
      "    return torch.linear(y, self.head)\n";
  network.inputs = {{2, 4}, {2, 4}};
  return network;
}

Network layer() {
  Network network;
  network.weights = {{"w", {6, 4}}};
  network.source = "def forward(self, x):\n    return torch.linear(x, self.w)\n";
  network.inputs = {{2, 4}};
  return network;
}

TEST_F(File, ThatIsMissingOrNoFile) {
  EXPECT_EQ(
      error_of(path("none.pt")),
      path("none.pt") +
          ": there is no such file; expected a TorchScript file, as torch.jit.save writes it");
  EXPECT_THAT(error_of(folder_.string()), HasSubstr("this is no file"));
}

TEST_F(File, OfAnotherKind) {
  std::ofstream(path("text.pt")) << "# a model";
  EXPECT_THAT(error_of(path("text.pt")),
              AllOf(StartsWith(path("text.pt")), HasSubstr("this is no TorchScript file")));
  std::ofstream(path("empty.pt")).close();
  EXPECT_THAT(error_of(path("empty.pt")), HasSubstr("this is no TorchScript file"));
}

TEST_F(File, OfAStateDict) {
  {
    caffe2::serialize::PyTorchStreamWriter writer(path("weights.pt"));
    const std::string pickle = "\x80\x02}q\0.";
    writer.writeRecord("data.pkl", pickle.data(), pickle.size());
    writer.writeEndOfFile();
  }
  EXPECT_THAT(error_of(path("weights.pt")),
              AllOf(StartsWith(path("weights.pt")), HasSubstr("holds no TorchScript program"),
                    HasSubstr("state_dict")));
}

TEST_F(File, ThatEndsTooEarly) {
  const std::string whole = saved(layer(), "whole.pt");
  const auto size = std::filesystem::file_size(whole);
  for (const double part : {0.2, 0.6, 0.98}) {
    std::filesystem::copy_file(whole, path("part.pt"),
                               std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(path("part.pt"), static_cast<uintmax_t>(part * double(size)));
    EXPECT_THAT(error_of(path("part.pt")),
                AllOf(StartsWith(path("part.pt")), HasSubstr("damaged or not complete")))
        << part;
  }
}

TEST_F(File, KeepsTheLinesOfItsSource) {
  EXPECT_THAT(error_of(saved(layer(), "x.pt"), {input({2, 5}, DType::kFloat64)}),
              HasSubstr("aten::linear (<string>:2)"));
}

TEST_F(File, WithWordsGetsNumbersInsideItsTables) {
  const Model model = load_model(saved(words(), "words.pt"),
                                 {input({8, 4}, DType::kInt64), input({8, 4}, DType::kInt64)});
  const at::Tensor& tokens = model.example_inputs[0];
  EXPECT_GT(tokens.max().item<int64_t>(), 10);
  EXPECT_LT(tokens.max().item<int64_t>(), 50);
  EXPECT_EQ(model.example_inputs[1].max().item<int64_t>(), 2);
}

TEST_F(File, WithWordsTakesTheRangeThatIsGiven) {
  const Model model = load_model(saved(words(), "words.pt"),
                                 {parse_input("8,4:int64:3-4"), parse_input("8,4:int64:0-0")});
  EXPECT_EQ(model.example_inputs[0].min().item<int64_t>(), 3);
  EXPECT_EQ(model.example_inputs[0].max().item<int64_t>(), 4);
  EXPECT_THAT(
      error_of(path("words.pt"), {parse_input("8,4:int64:0-900"), parse_input("8,4:int64")}),
      AllOf(HasSubstr("the network raises"), HasSubstr("aten::embedding (<string>:2)")));
}

}  // namespace
}  // namespace cpd::testing
