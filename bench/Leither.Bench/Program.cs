// Micro-benchmarks, one class per concern of src/. Run all or some of them:
//
//   dotnet run -c Release --project bench/Leither.Bench -- --filter '*Resp*'
//   dotnet run -c Release --project bench/Leither.Bench -- --smoke        each once, for a test that none has rotted; no figures

using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.NoEmit;

bool smoke = args.Contains("--smoke");
string[] rest = [.. args.Where(arg => arg != "--smoke")];
if (smoke && rest.Length == 0)
    rest = ["--filter", "*"];

IConfig? config = smoke ? DefaultConfig.Instance.AddJob(Job.Dry.WithToolchain(InProcessNoEmitToolchain.Instance)) : null;
Summary[] summaries = [.. BenchmarkSwitcher.FromAssembly(typeof(Program).Assembly).Run(rest, config)];
bool failed = summaries.Any(summary => summary.HasCriticalValidationErrors || summary.Reports.Any(report => !report.Success));
return smoke && (failed || summaries.Length == 0) ? 1 : 0;
